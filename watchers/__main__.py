"""``python -m watchers`` is ``watchers``."""

from watchers.cli import main

main(prog_name="watchers")
