"""Entries, step by step, against a broker that does what a test says."""
