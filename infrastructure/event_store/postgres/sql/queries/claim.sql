-- Gives due sagas that no worker holds to a worker, and returns them.
-- The index gives the first of each definition, however many more are due. It can be searched for the statement's time;
-- clock_timestamp() would be called for every row.
WITH free AS (
    SELECT first.saga_id
    FROM unnest(%(definitions)s::text[], %(versions)s::integer[]) AS mine (definition, definition_version)
    CROSS JOIN LATERAL (
        SELECT saga_id, due_at
        FROM due
        WHERE worker_id IS NULL
          AND due.definition = mine.definition
          AND due.definition_version = mine.definition_version
          AND due_at <= statement_timestamp()
        ORDER BY due_at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS first
    ORDER BY first.due_at
    LIMIT %(limit)s
)
UPDATE due SET worker_id = %(worker_id)s
FROM free
WHERE due.saga_id = free.saga_id
RETURNING due.saga_id, due.definition, due.definition_version, due.due_at
