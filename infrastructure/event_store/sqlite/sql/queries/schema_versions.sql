-- Returns the versions of the schema that were applied, in order.
SELECT version FROM sagaledger_schema ORDER BY version
