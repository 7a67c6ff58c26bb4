-- The work queue: which sagas want a worker, from when, and which worker holds each. The log can restore it.
CREATE TABLE due (
    saga_id            text        PRIMARY KEY,
    definition         text        NOT NULL,
    definition_version integer     NOT NULL,
    due_at             timestamptz NOT NULL,
    worker_id          text,                     -- NULL: free to be claimed
    nudged             boolean     NOT NULL DEFAULT false  -- someone else wrote to its stream since the holder looked
);

CREATE INDEX due_free ON due (definition, definition_version, due_at) WHERE worker_id IS NULL;
CREATE INDEX due_held ON due (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX due_nudged ON due (worker_id) WHERE nudged;
