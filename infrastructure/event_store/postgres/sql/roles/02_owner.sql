-- The owner has the schema, and in it the tables and functions of the log: it upgrades them (`sagaledger init`). It is
-- a member of the app's role, which has the views. `public` belongs to the database, and keeps its owner; so
-- does a schema whose new owner PostgreSQL does not let this role choose.
DO $roles$
DECLARE
    ledger oid := (SELECT oid FROM pg_namespace WHERE nspname = {schema_name});
    found text;
BEGIN
    IF NOT pg_has_role({owner_name}, 'USAGE') THEN
        GRANT {owner} TO CURRENT_USER;
    END IF;
    IF NOT pg_has_role({owner_name}, {app_name}, 'USAGE') THEN
        GRANT {app} TO {owner};
    END IF;
    IF NOT (has_schema_privilege({owner_name}, ledger, 'CREATE') AND has_schema_privilege({app_name}, ledger, 'CREATE'))
    THEN
        GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner}, {app};
    END IF;
    FOREACH found IN ARRAY ARRAY(
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = ledger AND pg_get_userbyid(relowner) <> {owner_name}
          AND relname IN ('events', 'appends', 'head', 'due', 'workers', 'worker_epochs', 'snapshots', 'consumers',
                          'definitions', 'structures', 'requests', 'sagaledger_schema'))
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {owner}', found);
    END LOOP;
    FOREACH found IN ARRAY ARRAY(
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = ledger AND pg_get_userbyid(proowner) <> {owner_name}
          AND proname IN ('append_events', 'decide_appends', 'put_due', 'nudge', 'refuse_log_change',
                          'refuse_stray_events', 'refuse_stray_append'))
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO {owner}', found);
    END LOOP;
    IF has_database_privilege(current_database(), 'CREATE')
       AND EXISTS (
           SELECT FROM pg_namespace
           WHERE oid = ledger AND nspname <> 'public' AND pg_get_userbyid(nspowner) <> {owner_name})
    THEN
        ALTER SCHEMA {schema} OWNER TO {owner};
    END IF;
END
$roles$;
