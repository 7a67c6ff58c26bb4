-- One link of the hash chain for each append call that wrote events.
CREATE TABLE appends (
    last_position  bigint      PRIMARY KEY,
    first_position bigint      NOT NULL,
    append_id      uuid        NOT NULL UNIQUE,
    recorded_at    timestamptz NOT NULL,
    hash           bytea       NOT NULL
);

CREATE INDEX appends_by_time ON appends (recorded_at, last_position);
