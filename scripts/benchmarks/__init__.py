"""Benchmarks: whole round trips on a real server, as ratios taken in one run."""
