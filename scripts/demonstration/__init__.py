"""The demonstration behind ``scripts/demo``: the main job on a market, from one command."""
