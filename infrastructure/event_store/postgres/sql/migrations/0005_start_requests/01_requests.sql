-- Sagas that other programs asked for in their own transactions, until a worker starts them. Asking only inserts a
-- row, and waits for no one: two requests for the same saga meet when it is started, at the saga's id.
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
