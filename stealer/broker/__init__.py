"""The edge to the broker: the only place that knows Alpaca's words and its client.

Import what you need from its modules; this package imports nothing, because alpaca-py costs a
process about a second and 80 MB. ``interface``, ``symbols`` and ``convert`` are light; ``alpaca``
is light to import too and loads alpaca-py at the first call that needs it.
"""
