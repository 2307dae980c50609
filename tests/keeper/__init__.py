"""The keeper's parts, and whole passes, against a broker in memory."""
