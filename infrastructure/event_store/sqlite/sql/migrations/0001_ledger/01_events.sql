-- Every event, in the order of the log. Rows are inserted, and never changed or deleted.
-- Instants in this schema are whole microseconds since 1970-01-01 UTC.
CREATE TABLE events (
    position           INTEGER PRIMARY KEY,  -- from 1, without gaps: a gap is corruption
    stream_id          TEXT    NOT NULL,
    version            INTEGER NOT NULL,     -- without gaps within its stream
    topic              TEXT    NOT NULL,     -- the event type's stored name
    schema_version     INTEGER NOT NULL,
    state              BLOB    NOT NULL,     -- UTF-8 JSON
    correlation_id     TEXT,                 -- NULL: the stream's own id
    causation_position INTEGER,
    meta               TEXT    NOT NULL,     -- a JSON object
    recorded_at        INTEGER NOT NULL,     -- never decreases
    digest             BLOB    NOT NULL,     -- sha256 over what the writer sent
    UNIQUE (stream_id, version)
) STRICT;

CREATE INDEX events_by_correlation ON events (correlation_id, position) WHERE correlation_id IS NOT NULL;
