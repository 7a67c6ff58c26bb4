-- Sagas that somebody asked for in a transaction of their own, until a worker starts them. Whoever asks only inserts,
-- and waits for nobody: two who ask for the same saga do not meet here, but at the saga's id.
CREATE TABLE requests (
    request_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id            text        NOT NULL,
    definition         text        NOT NULL,
    definition_version integer     NOT NULL,
    fingerprint        text        NOT NULL,
    input              bytea       NOT NULL,  -- UTF-8 JSON
    begins_at          timestamptz,           -- NULL: at once
    actor              text,
    requested_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker_id          text,                  -- who starts it just now
    refused_at         timestamptz,           -- NULL: not refused
    reason             text
);

CREATE INDEX requests_open ON requests (request_id) WHERE refused_at IS NULL;
