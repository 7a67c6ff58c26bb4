"""A ledger in a PostgreSQL schema."""
