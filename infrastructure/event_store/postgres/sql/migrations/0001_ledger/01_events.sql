-- Every event, in the order of the log. Rows are inserted, and never changed or deleted.
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
