-- The end of the log: one row. Every append locks it.
CREATE TABLE head (
    id          integer     PRIMARY KEY CHECK (id = 1),
    position    bigint      NOT NULL,
    hash        bytea       NOT NULL,
    recorded_at timestamptz                      -- NULL: the log is empty
) WITH (fillfactor = 50);

INSERT INTO head (id, position, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));
