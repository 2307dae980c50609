"""Real processes that are killed, hosts that share an account, and what users type wrong."""
