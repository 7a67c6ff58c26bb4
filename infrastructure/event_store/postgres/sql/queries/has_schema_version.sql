-- Returns one row if the database has the table of schema versions.
SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'sagaledger_schema'
