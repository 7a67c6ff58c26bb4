-- Gives due sagas that no worker holds to a worker, and returns them.
UPDATE due
SET worker_id = :worker_id
WHERE saga_id IN (
    SELECT saga_id
    FROM due
    WHERE worker_id IS NULL
      AND due_at <= :now
      AND EXISTS (
          SELECT 1
          FROM json_each(:definitions) AS known
          WHERE json_extract(known.value, '$[0]') = due.definition
            AND json_extract(known.value, '$[1]') = due.definition_version
      )
    ORDER BY due_at
    LIMIT :limit
)
RETURNING saga_id, definition, definition_version, due_at
