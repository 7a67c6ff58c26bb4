-- Deletes granted start requests, and marks refused ones.
WITH answer AS (SELECT * FROM unnest(%s::bigint[], %s::text[]) AS given (request_id, reason)),
     started AS (
         DELETE FROM requests USING answer
         WHERE requests.request_id = answer.request_id AND answer.reason IS NULL
     )
UPDATE requests SET refused_at = clock_timestamp(), reason = answer.reason
FROM answer
WHERE requests.request_id = answer.request_id AND answer.reason IS NOT NULL
