-- Returns whether a worker has a notification, a due saga to claim, or a start request to take.
SELECT EXISTS (SELECT FROM due WHERE worker_id = %(worker_id)s AND nudged)
    OR EXISTS (
        SELECT FROM due
        WHERE worker_id IS NULL
          AND due_at <= statement_timestamp()
          AND (definition, definition_version) IN (
              SELECT * FROM unnest(%(definitions)s::text[], %(versions)s::integer[])))
    OR EXISTS (
        SELECT FROM requests
        WHERE refused_at IS NULL
          AND (worker_id IS NULL OR NOT EXISTS (SELECT FROM workers AS w WHERE w.worker_id = requests.worker_id))
          AND (definition, definition_version) IN (
              SELECT * FROM unnest(%(definitions)s::text[], %(versions)s::integer[])))
