"""``python -m stealer.simulated_alpaca``."""

from .cli import main

main(prog_name="simulated-alpaca")
