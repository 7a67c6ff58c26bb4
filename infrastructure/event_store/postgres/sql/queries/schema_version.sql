-- Returns the version of the stored schema; 0 for none.
SELECT coalesce(max(version), 0) FROM sagaledger_schema
