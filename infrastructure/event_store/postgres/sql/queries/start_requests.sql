-- Returns the start requests, oldest first. A time that no program can read is shown as the end of the calendar.
SELECT request_id, saga_id, definition, definition_version, fingerprint, input,
       CASE WHEN begins_at IS NULL OR begins_at BETWEEN '0001-01-02Z' AND '9999-12-30Z' THEN begins_at
            ELSE '9999-12-30Z' END,
       actor,
       CASE WHEN requested_at BETWEEN '0001-01-02Z' AND '9999-12-30Z' THEN requested_at ELSE '9999-12-30Z' END,
       refused_at, reason
FROM requests
ORDER BY request_id
LIMIT %s
