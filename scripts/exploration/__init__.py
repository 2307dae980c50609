"""Exhaustive exploration of small scopes: a model of the protocol, and the real scripts."""
