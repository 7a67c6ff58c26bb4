-- The log is append-only: its rows are never changed or deleted.
DROP TRIGGER IF EXISTS events_are_not_updated;
CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of events is ever changed');
END;

DROP TRIGGER IF EXISTS events_are_not_deleted;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of events is ever deleted');
END;

DROP TRIGGER IF EXISTS appends_are_not_updated;
CREATE TRIGGER appends_are_not_updated BEFORE UPDATE ON appends BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of appends is ever changed');
END;

DROP TRIGGER IF EXISTS appends_are_not_deleted;
CREATE TRIGGER appends_are_not_deleted BEFORE DELETE ON appends BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: no row of appends is ever deleted');
END;
