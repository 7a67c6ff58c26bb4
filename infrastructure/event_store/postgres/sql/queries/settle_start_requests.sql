-- Deletes granted start requests, and marks refused ones.
WITH outcome AS (SELECT * FROM unnest(%s::bigint[], %s::text[]) AS given (request_id, reason)),
     started AS (
         DELETE FROM requests USING outcome
         WHERE requests.request_id = outcome.request_id AND outcome.reason IS NULL
     )
UPDATE requests SET refused_at = clock_timestamp(), reason = outcome.reason
FROM outcome
WHERE requests.request_id = outcome.request_id AND outcome.reason IS NOT NULL
