"""The steal protocol as a state machine small enough to look at every state (docs/model.md)."""
