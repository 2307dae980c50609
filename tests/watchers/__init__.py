"""Tests of watchers, plans and fleets."""
