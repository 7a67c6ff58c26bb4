"""The edge: the log on SQLite and PostgreSQL, the worker, the projector, the command line."""
