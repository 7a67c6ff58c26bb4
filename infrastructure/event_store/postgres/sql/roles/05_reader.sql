-- The reader: it reads every table of the ledger, those of later views too, and writes nothing.
REVOKE ALL ON
    {schema}.events, {schema}.appends, {schema}.head, {schema}.due, {schema}.workers, {schema}.snapshots,
    {schema}.consumers, {schema}.definitions, {schema}.structures, {schema}.requests, {schema}.sagaledger_schema
    FROM {reader};
GRANT USAGE ON SCHEMA {schema} TO {reader};
GRANT SELECT ON
    {schema}.events, {schema}.appends, {schema}.head, {schema}.due, {schema}.workers, {schema}.snapshots,
    {schema}.consumers, {schema}.definitions, {schema}.structures, {schema}.requests, {schema}.sagaledger_schema
    TO {reader};

DO $roles$
DECLARE
    ledger oid := (SELECT oid FROM pg_namespace WHERE nspname = {schema_name});
    found text;
BEGIN
    IF {schema_name} <> 'public' THEN  -- there the app's role may have tables of other programs
        ALTER DEFAULT PRIVILEGES FOR ROLE {app} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {reader};
    END IF;
    IF to_regclass({views_name}) IS NULL THEN
        RETURN;
    END IF;
    FOREACH found IN ARRAY ARRAY(
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = ledger AND pg_get_userbyid(relowner) = {app_name}
          AND relname IN (
              VALUES ('projections'), ('projection_journal'), ('projection_declarations'), ('projection_followers')
              UNION SELECT name FROM {schema}.projections
              UNION SELECT name || '__rebuild' FROM {schema}.projections WHERE status = 'building'))
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO {reader}', found);
    END LOOP;
END
$roles$;
