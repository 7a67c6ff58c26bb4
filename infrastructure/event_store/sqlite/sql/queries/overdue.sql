-- Returns how many sagas are due and free, by definition, and when the first was due; counts up to a limit.
SELECT definition, count(*), min(due_at)
FROM (
    SELECT definition, due_at
    FROM due
    WHERE worker_id IS NULL AND due_at <= :now
    ORDER BY due_at
    LIMIT :limit
)
GROUP BY definition
ORDER BY definition
