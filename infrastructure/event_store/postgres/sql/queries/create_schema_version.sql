-- Creates the table of schema versions.
CREATE TABLE IF NOT EXISTS sagaledger_schema (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)
