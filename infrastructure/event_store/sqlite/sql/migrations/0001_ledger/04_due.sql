-- The work queue: which sagas want a worker, from when, and which worker holds each. The log can restore it.
CREATE TABLE due (
    saga_id            TEXT    PRIMARY KEY,
    definition         TEXT    NOT NULL,
    definition_version INTEGER NOT NULL,
    due_at             INTEGER NOT NULL,
    worker_id          TEXT,                 -- NULL: free to be claimed
    nudged             INTEGER NOT NULL DEFAULT 0  -- 1: someone else wrote to its stream since the holder looked
) STRICT;

CREATE INDEX due_free ON due (due_at, definition, definition_version) WHERE worker_id IS NULL;
CREATE INDEX due_held ON due (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX due_nudged ON due (worker_id) WHERE nudged = 1;
