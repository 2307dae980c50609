"""``scripts/chaos``: faults on real processes, judged by what the simulated broker saw."""
