"""The ledger's storage: the ports, and their backends on SQLite and PostgreSQL."""
