-- The log and the due work. Instants are whole microseconds since 1970-01-01 UTC.

-- Every event, once, for ever: rows are only ever inserted.
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

-- One link of the hash chain for each append call that wrote events.
CREATE TABLE appends (
    last_position  INTEGER PRIMARY KEY,
    first_position INTEGER NOT NULL,
    append_id      BLOB    NOT NULL UNIQUE,
    recorded_at    INTEGER NOT NULL,
    hash           BLOB    NOT NULL
) STRICT;

CREATE INDEX appends_by_time ON appends (recorded_at, last_position);

-- The end of the log: one row.
CREATE TABLE head (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    position    INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    recorded_at INTEGER                      -- NULL: the log is empty
) STRICT;

INSERT INTO head (id, position, hash) VALUES (1, 0, zeroblob(32));

-- Which sagas want a worker, from when, and who holds them. Can be recomputed from the log.
CREATE TABLE due (
    saga_id            TEXT    PRIMARY KEY,
    definition         TEXT    NOT NULL,
    definition_version INTEGER NOT NULL,
    due_at             INTEGER NOT NULL,
    worker_id          TEXT,                 -- NULL: free to be claimed
    nudged             INTEGER NOT NULL DEFAULT 0  -- 1: someone else wrote to its stream since the holder looked
) STRICT;

CREATE INDEX due_free ON due (due_at, definition, definition_version) WHERE worker_id IS NULL;
CREATE INDEX due_held ON due (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX due_nudged ON due (worker_id) WHERE nudged = 1;

-- The workers with a lease: at most one here, and AUTOINCREMENT makes its epoch larger than every earlier one.
CREATE TABLE workers (
    epoch       INTEGER PRIMARY KEY AUTOINCREMENT,
    worker_id   TEXT    NOT NULL UNIQUE,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

-- A stream's state at a version, so that a long stream need not be read from its start. Can be deleted at any time.
CREATE TABLE snapshots (
    stream_id TEXT    PRIMARY KEY,
    version   INTEGER NOT NULL,
    schema    TEXT    NOT NULL,
    state     BLOB    NOT NULL
) STRICT;

-- How far each consumer of the log has come, and the append call that brought it there.
CREATE TABLE consumers (
    consumer  TEXT    PRIMARY KEY,
    position  INTEGER NOT NULL,
    append_id BLOB    NOT NULL
) STRICT;
