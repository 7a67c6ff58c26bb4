-- How far each consumer of the log has come, and the append call that moved it there.
CREATE TABLE consumers (
    consumer  TEXT    PRIMARY KEY,
    position  INTEGER NOT NULL,
    append_id BLOB    NOT NULL
) STRICT;
