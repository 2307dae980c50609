"""The broker edge against a scripted HTTP server, through the real alpaca-py."""
