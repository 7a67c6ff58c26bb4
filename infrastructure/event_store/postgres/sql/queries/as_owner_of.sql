-- Acts, until the transaction ends, as the role that has a table of the ledger: what is created belongs to that role.
-- A role that may not act as it stays what it is, and so does everyone where there is no such table yet.
SELECT set_config('role', pg_get_userbyid(c.relowner)::text, true)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname = %s::text
  AND pg_get_userbyid(c.relowner) <> current_user
  AND has_schema_privilege(c.relowner, n.oid, 'CREATE')
  AND pg_has_role(
      c.relowner, CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END)
