-- The app: workers, and programs that start sagas and decide about them. It appends to the log, and can neither change
-- nor remove what is in it. It has the views, because a rebuild replaces their tables.
REVOKE ALL ON
    {schema}.events, {schema}.appends, {schema}.head, {schema}.due, {schema}.workers, {schema}.snapshots,
    {schema}.consumers, {schema}.definitions, {schema}.structures, {schema}.requests, {schema}.sagaledger_schema
    FROM {app};
GRANT SELECT, INSERT ON {schema}.events, {schema}.appends, {schema}.definitions, {schema}.structures TO {app};
GRANT SELECT, UPDATE ON {schema}.head TO {app};
GRANT SELECT, INSERT, UPDATE, DELETE
    ON {schema}.due, {schema}.workers, {schema}.snapshots, {schema}.consumers, {schema}.requests TO {app};
GRANT SELECT ON {schema}.sagaledger_schema TO {app};
GRANT USAGE ON SEQUENCE {schema}.worker_epochs TO {app};
GRANT EXECUTE ON FUNCTION {schema}.append_events, {schema}.decide_appends, {schema}.put_due, {schema}.nudge TO {app};

DO $roles$
DECLARE
    ledger oid := (SELECT oid FROM pg_namespace WHERE nspname = {schema_name});
    views oid := to_regclass({views_name});
    maker oid := (SELECT relowner FROM pg_class WHERE oid = views);
    found text;
BEGIN
    IF views IS NULL THEN
        RETURN;
    END IF;
    -- Those who may write to `projections` could name any table there: one of the log or of other programs is left alone.
    FOREACH found IN ARRAY ARRAY(
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = ledger AND relkind = 'r' AND pg_get_userbyid(relowner) <> {app_name}
          AND (relowner = maker OR pg_get_userbyid(relowner) = {owner_name})
          AND relname NOT IN ('events', 'appends', 'head', 'due', 'workers', 'snapshots', 'consumers', 'definitions',
                              'structures', 'requests', 'sagaledger_schema')
          AND relname IN (
              VALUES ('projections'), ('projection_journal'), ('projection_declarations'), ('projection_followers')
              UNION SELECT name FROM {schema}.projections
              UNION SELECT name || '__rebuild' FROM {schema}.projections WHERE status = 'building'))
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {app}', found);
    END LOOP;
END
$roles$;
