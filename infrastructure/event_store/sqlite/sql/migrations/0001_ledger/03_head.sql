-- The end of the log: one row.
CREATE TABLE head (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    position    INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    recorded_at INTEGER                      -- NULL: the log is empty
) STRICT;

INSERT INTO head (id, position, hash) VALUES (1, 0, zeroblob(32));
