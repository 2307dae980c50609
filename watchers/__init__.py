"""Entry watchers: processes that each want one limit entry order open, and the fleet that runs
them.
"""
