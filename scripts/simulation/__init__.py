"""A seeded simulation of the whole system under faults (docs/simulation.md)."""
