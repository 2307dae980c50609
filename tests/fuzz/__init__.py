"""Input that nobody meant: arguments, environment, files, broker answers and Redis contents."""
