"""The append-only log: its port, and its backends."""
