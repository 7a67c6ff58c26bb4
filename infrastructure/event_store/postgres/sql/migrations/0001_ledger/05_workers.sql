-- The workers with a lease. The sequence makes each epoch higher than all before it.
CREATE SEQUENCE worker_epochs;

CREATE TABLE workers (
    worker_id   text        PRIMARY KEY,
    epoch       bigint      NOT NULL UNIQUE,
    host        text        NOT NULL,
    pid         integer     NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);
