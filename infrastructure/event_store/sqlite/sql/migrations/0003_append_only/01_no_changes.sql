-- The log is append-only: its rows are never changed or deleted.
DROP TRIGGER IF EXISTS events_no_update;
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of events is ever changed');
END;

DROP TRIGGER IF EXISTS events_no_delete;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of events is ever deleted');
END;

DROP TRIGGER IF EXISTS appends_no_update;
CREATE TRIGGER appends_no_update BEFORE UPDATE ON appends BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of appends is ever changed');
END;

DROP TRIGGER IF EXISTS appends_no_delete;
CREATE TRIGGER appends_no_delete BEFORE DELETE ON appends BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of appends is ever deleted');
END;
