-- Returns one row if a schema exists: whether the role may use it.
SELECT has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = %s::text
