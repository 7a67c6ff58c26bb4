-- Creates the table of schema versions.
CREATE TABLE IF NOT EXISTS sagaledger_schema (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT
