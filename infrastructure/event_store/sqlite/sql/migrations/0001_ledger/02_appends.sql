-- One link of the hash chain for each append call that wrote events.
CREATE TABLE appends (
    last_position  INTEGER PRIMARY KEY,
    first_position INTEGER NOT NULL,
    append_id      BLOB    NOT NULL UNIQUE,
    recorded_at    INTEGER NOT NULL,
    hash           BLOB    NOT NULL
) STRICT;

CREATE INDEX appends_by_time ON appends (recorded_at, last_position);
