-- The workers with a lease: at most one. AUTOINCREMENT makes each epoch higher than all before it.
CREATE TABLE workers (
    epoch       INTEGER PRIMARY KEY AUTOINCREMENT,
    worker_id   TEXT    NOT NULL UNIQUE,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;
