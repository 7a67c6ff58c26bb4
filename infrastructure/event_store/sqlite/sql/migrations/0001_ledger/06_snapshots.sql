-- A stream's state at a version, so that a long stream need not be read from its start. Any row may be deleted.
CREATE TABLE snapshots (
    stream_id TEXT    PRIMARY KEY,
    version   INTEGER NOT NULL,
    schema    TEXT    NOT NULL,
    state     BLOB    NOT NULL
) STRICT;
