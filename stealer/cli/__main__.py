"""``python -m stealer.cli``."""

from stealer.cli.app import main

main(prog_name="stealer")
