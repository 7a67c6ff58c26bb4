-- A stream's state at a version, so that a long stream need not be read from its start. Any row may be deleted.
CREATE TABLE snapshots (
    stream_id text   PRIMARY KEY,
    version   bigint NOT NULL,
    schema    text   NOT NULL,
    state     bytea  NOT NULL
);
