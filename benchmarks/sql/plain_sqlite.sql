-- A table of the shape and the keys of `events`, without anything that keeps a ledger's promises.
CREATE TABLE plain (
    position           INTEGER PRIMARY KEY,
    stream_id          TEXT    NOT NULL,
    version            INTEGER NOT NULL,
    topic              TEXT    NOT NULL,
    schema_version     INTEGER NOT NULL,
    state              BLOB    NOT NULL,
    correlation_id     TEXT,
    causation_position INTEGER,
    meta               TEXT    NOT NULL,
    recorded_at        INTEGER NOT NULL,
    digest             BLOB    NOT NULL,
    UNIQUE (stream_id, version)
) STRICT;
CREATE INDEX plain_by_correlation ON plain (correlation_id, position) WHERE correlation_id IS NOT NULL;
