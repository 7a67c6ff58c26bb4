-- The log and the due work, in the connection's current schema.

-- Every event, once, for ever: rows are only ever inserted.
CREATE TABLE events (
    position           bigint      PRIMARY KEY,  -- from 1, without gaps: a gap is corruption
    stream_id          text        NOT NULL,
    version            bigint      NOT NULL,     -- without gaps within its stream
    topic              text        NOT NULL,     -- the event type's stored name
    schema_version     integer     NOT NULL,
    state              bytea       NOT NULL,     -- UTF-8 JSON
    correlation_id     text,                     -- NULL: the stream's own id
    causation_position bigint,
    meta               text        NOT NULL,     -- a JSON object, as sent: jsonb would write it anew
    recorded_at        timestamptz NOT NULL,     -- never decreases
    digest             bytea       NOT NULL,     -- sha256 over what the writer sent
    UNIQUE (stream_id, version)
);

CREATE INDEX events_by_correlation ON events (correlation_id, position) WHERE correlation_id IS NOT NULL;

-- One link of the hash chain for each append call that wrote events.
CREATE TABLE appends (
    last_position  bigint      PRIMARY KEY,
    first_position bigint      NOT NULL,
    append_id      uuid        NOT NULL UNIQUE,
    recorded_at    timestamptz NOT NULL,
    hash           bytea       NOT NULL
);

CREATE INDEX appends_by_time ON appends (recorded_at, last_position);

-- The end of the log: one row, whose lock is held by whoever appends.
CREATE TABLE head (
    id          integer     PRIMARY KEY CHECK (id = 1),
    position    bigint      NOT NULL,
    hash        bytea       NOT NULL,
    recorded_at timestamptz                      -- NULL: the log is empty
) WITH (fillfactor = 50);

INSERT INTO head (id, position, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Which sagas want a worker, from when, and who holds them. Can be recomputed from the log.
CREATE TABLE due (
    saga_id            text        PRIMARY KEY,
    definition         text        NOT NULL,
    definition_version integer     NOT NULL,
    due_at             timestamptz NOT NULL,
    worker_id          text,                     -- NULL: free to be claimed
    nudged             boolean     NOT NULL DEFAULT false  -- someone else wrote to its stream since the holder looked
);

CREATE INDEX due_free ON due (definition, definition_version, due_at) WHERE worker_id IS NULL;
CREATE INDEX due_held ON due (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX due_nudged ON due (worker_id) WHERE nudged;

-- The workers with a lease. The sequence makes each epoch larger than every earlier one.
CREATE SEQUENCE worker_epochs;

CREATE TABLE workers (
    worker_id   text        PRIMARY KEY,
    epoch       bigint      NOT NULL UNIQUE,
    host        text        NOT NULL,
    pid         integer     NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

-- A stream's state at a version, so that a long stream need not be read from its start. Can be deleted at any time.
CREATE TABLE snapshots (
    stream_id text   PRIMARY KEY,
    version   bigint NOT NULL,
    schema    text   NOT NULL,
    state     bytea  NOT NULL
);

-- How far each consumer of the log has come, and the append call that brought it there.
CREATE TABLE consumers (
    consumer  text   PRIMARY KEY,
    position  bigint NOT NULL,
    append_id uuid   NOT NULL
);
