-- Returns how many sagas are due and free, by definition, and how long the first has been due; counts up to a limit.
SELECT definition, count(*), extract(epoch FROM statement_timestamp() - min(due_at))::float8
FROM (
    SELECT definition, due_at
    FROM due
    WHERE worker_id IS NULL AND due_at <= statement_timestamp()
    LIMIT %s) AS free
GROUP BY definition
ORDER BY definition
