-- Returns whether a worker has a notification, or there is a due saga that it can claim.
SELECT EXISTS (SELECT 1 FROM due WHERE worker_id = :worker_id AND nudged = 1)
    OR EXISTS (
        SELECT 1
        FROM due
        WHERE worker_id IS NULL
          AND due_at <= :now
          AND EXISTS (
              SELECT 1
              FROM json_each(:definitions) AS known
              WHERE json_extract(known.value, '$[0]') = due.definition
                AND json_extract(known.value, '$[1]') = due.definition_version
          )
    )
