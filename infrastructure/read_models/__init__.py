"""The read models: views that follow the log, are rebuilt and compared with it, and answer queries."""
