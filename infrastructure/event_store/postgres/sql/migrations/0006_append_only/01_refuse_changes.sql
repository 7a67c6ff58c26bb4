-- The log is append-only: its rows are never changed or deleted.
CREATE OR REPLACE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: no row of % is ever changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

DROP TRIGGER IF EXISTS events_are_not_changed ON events;
CREATE TRIGGER events_are_not_changed
    BEFORE DELETE OR UPDATE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change();

DROP TRIGGER IF EXISTS appends_are_not_changed ON appends;
CREATE TRIGGER appends_are_not_changed
    BEFORE DELETE OR UPDATE OR TRUNCATE ON appends
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change();
