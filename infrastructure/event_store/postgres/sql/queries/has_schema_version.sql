-- Returns one row if a schema has the table of schema versions, and so a ledger.
SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = %s::text AND tablename = 'sagaledger_schema'
