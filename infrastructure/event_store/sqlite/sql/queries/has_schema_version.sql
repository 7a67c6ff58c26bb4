-- Returns one row if the database has the table of schema versions.
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sagaledger_schema'
