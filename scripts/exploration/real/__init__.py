"""The real scripts driven through every interleaving, on a server in memory (docs/model.md)."""
