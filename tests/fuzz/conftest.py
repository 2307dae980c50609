"""The long profile, and what every test of this folder needs."""

from __future__ import annotations

from hypothesis import settings

# Read by `effort`. Run as: pytest tests/fuzz --hypothesis-profile=deep
settings.register_profile("deep")
