#!/usr/bin/env python3
"""The watchers' command line as a script: ``maxdiff_cli.py open-position ...``."""

from watchers.cli import main

if __name__ == "__main__":
    main()
