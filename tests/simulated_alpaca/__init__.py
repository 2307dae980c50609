"""Tests of the simulated Alpaca."""
