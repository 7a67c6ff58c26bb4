-- A row of the log continues it, and the head has moved there before: no row is ever outside of 1 to the head.
-- NOT VALID: a ledger that has such a row already is upgraded all the same, and `verify` names the row.
ALTER TABLE events DROP CONSTRAINT IF EXISTS events_position_check;
ALTER TABLE events ADD CONSTRAINT events_position_check CHECK (position >= 1) NOT VALID;

ALTER TABLE appends DROP CONSTRAINT IF EXISTS appends_position_check;
ALTER TABLE appends ADD CONSTRAINT appends_position_check
    CHECK (first_position >= 1 AND last_position >= first_position) NOT VALID;

-- Only rows of this transaction and its savepoints count, none that were there before the trigger. They are found by the
-- index, which the planner would not choose by itself: it takes a third of all events to be beyond an unknown position.
-- A transition table would copy every event, which took a tenth of the time of an append.
CREATE OR REPLACE FUNCTION refuse_stray_events() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM events
        WHERE position > (SELECT position FROM head) AND age(xmin) <= age(pg_current_xact_id()::xid)
    ) THEN
        RAISE EXCEPTION 'the log is append-only: an event is inserted at its end only, by an append'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS events_continue ON events;
CREATE TRIGGER events_continue
    AFTER INSERT ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_stray_events();

CREATE OR REPLACE FUNCTION refuse_stray_append() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last_position > (SELECT position FROM head) THEN
        RAISE EXCEPTION 'the log is append-only: a link is inserted at its end only, by an append'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER IF EXISTS appends_continue ON appends;
CREATE TRIGGER appends_continue
    BEFORE INSERT ON appends
    FOR EACH ROW EXECUTE FUNCTION refuse_stray_append();
