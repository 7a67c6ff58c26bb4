-- name: current_schema
SELECT current_schema()

-- name: tables
SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY tablename

-- name: create_schema
CREATE TABLE IF NOT EXISTS sagaledger_schema (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)

-- name: has_schema
SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'sagaledger_schema'

-- name: schema_version
SELECT coalesce(max(version), 0) FROM sagaledger_schema

-- name: migrated
INSERT INTO sagaledger_schema (version, applied_at) VALUES (%s, clock_timestamp())

-- name: migrating
SELECT pg_advisory_xact_lock(hashtext('sagaledger ' || current_schema()))

-- name: lock_head
SELECT position FROM head FOR UPDATE

-- name: head
SELECT position, hash, recorded_at FROM head

-- name: end_before
SELECT max(version) FROM events WHERE stream_id = %s AND position < %s

-- name: read
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > %(after)s AND position <= %(upto)s
ORDER BY position
LIMIT %(limit)s

-- name: read_topics
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > %(after)s AND position <= %(upto)s AND topic = ANY(%(topics)s::text[])
ORDER BY position
LIMIT %(limit)s

-- name: stream
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE stream_id = %(stream_id)s AND version > %(after)s AND version <= %(upto)s
ORDER BY version

-- name: streams
SELECT e.position, e.stream_id, e.version, e.topic, e.schema_version, e.state, e.correlation_id,
       e.causation_position, e.meta, e.recorded_at, e.digest
FROM unnest(%(stream_ids)s::text[], %(after)s::bigint[]) AS wanted (stream_id, version)
CROSS JOIN LATERAL (
    SELECT * FROM events WHERE stream_id = wanted.stream_id AND version > wanted.version ORDER BY version
) AS e
ORDER BY e.stream_id COLLATE "C", e.version

-- name: payloads
-- Sent as it stands, with its parameter in the server's own format.
SELECT stream_id, topic, schema_version, state FROM events WHERE stream_id = ANY($1::text[]) ORDER BY stream_id, version

-- name: correlated
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM (
    SELECT * FROM events WHERE stream_id = %(correlation_id)s AND position > %(after)s
    UNION ALL
    SELECT * FROM events
    WHERE correlation_id = %(correlation_id)s AND stream_id <> %(correlation_id)s AND position > %(after)s
) AS process
ORDER BY position
LIMIT %(limit)s

-- name: position_at
SELECT last_position FROM appends WHERE recorded_at <= %s ORDER BY recorded_at DESC, last_position DESC LIMIT 1

-- name: appends
SELECT append_id, first_position, last_position, recorded_at, hash
FROM appends
WHERE last_position > %s
ORDER BY last_position
LIMIT %s

-- name: misplaced
SELECT position, stream_id, version, previous_version
FROM (
    SELECT position, stream_id, version,
           lag(version) OVER streams AS previous_version,
           lag(position) OVER streams AS previous_position
    FROM events
    WINDOW streams AS (PARTITION BY stream_id ORDER BY version)
) AS placed
WHERE version <> previous_version + 1
   OR position < previous_position
   OR (previous_version IS NULL AND version NOT IN (0, 1))
ORDER BY position
LIMIT %s

-- name: snapshots
SELECT stream_id, version, schema, state FROM snapshots WHERE stream_id = ANY(%s::text[])

-- name: put_snapshots
INSERT INTO snapshots (stream_id, version, schema, state)
SELECT DISTINCT ON (stream_id) stream_id, version, schema, state
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[]) AS taken (stream_id, version, schema, state)
ORDER BY stream_id, version DESC
ON CONFLICT (stream_id) DO UPDATE
SET version = excluded.version, schema = excluded.schema, state = excluded.state
WHERE excluded.version >= snapshots.version

-- name: consumer
SELECT position FROM consumers WHERE consumer = %s

-- name: put_due
SELECT put_due(%s::text[], %s::text[], %s::integer[], %s::timestamptz[], %s::text[], clock_timestamp())

-- name: register
WITH next AS (SELECT nextval('worker_epochs') AS epoch)
INSERT INTO workers (worker_id, epoch, host, pid, started_at, lease_until)
SELECT %(host)s::text || '-' || %(pid)s::integer || '-' || epoch, epoch, %(host)s, %(pid)s, clock_timestamp(),
       clock_timestamp() + make_interval(secs => %(lease_seconds)s)
FROM next
RETURNING worker_id, epoch

-- name: renew
UPDATE workers SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
WHERE worker_id = %(worker_id)s AND epoch = %(epoch)s

-- name: retire
DELETE FROM workers WHERE worker_id = %s AND epoch = %s

-- name: has_ended_leases
SELECT 1 FROM workers WHERE lease_until < clock_timestamp() LIMIT 1

-- name: end_leases
DELETE FROM workers WHERE lease_until < clock_timestamp() RETURNING worker_id

-- name: release_all
UPDATE due
SET due_at = CASE WHEN nudged THEN least(due_at, clock_timestamp()) ELSE due_at END, worker_id = NULL, nudged = false
WHERE worker_id = ANY(%s::text[])

-- name: hold_lease
SELECT 1 FROM workers WHERE worker_id = %s AND epoch = %s FOR KEY SHARE

-- name: stirs
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

-- name: claim
-- The first of each definition are read off the index, however many more are due; and the time is that of the statement,
-- which an index can be searched for: the clock's would be asked for every row.
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

-- name: nudged
-- SKIP LOCKED: what is being written just now is told the next time.
WITH told AS (
    SELECT saga_id FROM due WHERE worker_id = %s AND nudged FOR UPDATE SKIP LOCKED
)
UPDATE due SET nudged = false
FROM told
WHERE due.saga_id = told.saga_id
RETURNING due.saga_id

-- name: release
UPDATE due
SET due_at = CASE WHEN nudged THEN least(due_at, clock_timestamp()) ELSE due_at END, worker_id = NULL, nudged = false
WHERE worker_id = %s AND saga_id = ANY(%s::text[])

-- name: due
SELECT saga_id, definition, definition_version, due_at, worker_id FROM due ORDER BY saga_id COLLATE "C"

-- name: workers
SELECT w.worker_id, w.epoch, w.host, w.pid, w.started_at, w.lease_until,
       (SELECT count(*) FROM due WHERE due.worker_id = w.worker_id)
FROM workers AS w
ORDER BY w.epoch

-- name: fingerprints
SELECT definition, definition_version, fingerprint FROM definitions

-- name: record_fingerprint
INSERT INTO definitions (definition, definition_version, fingerprint) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING

-- name: take_requests
-- What a worker that is gone had taken is free again: its row in `workers` is not there any more.
WITH free AS (
    SELECT request_id
    FROM requests
    WHERE refused_at IS NULL
      AND (worker_id IS NULL OR NOT EXISTS (SELECT FROM workers AS w WHERE w.worker_id = requests.worker_id))
      AND (definition, definition_version) IN (
          SELECT * FROM unnest(%(definitions)s::text[], %(versions)s::integer[]))
    ORDER BY request_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE requests SET worker_id = %(worker_id)s
FROM free
WHERE requests.request_id = free.request_id
RETURNING requests.request_id, saga_id, definition, definition_version, fingerprint, input, begins_at, actor,
          requested_at, refused_at, reason

-- name: requests
SELECT request_id, saga_id, definition, definition_version, fingerprint, input, begins_at, actor, requested_at,
       refused_at, reason
FROM requests
ORDER BY request_id
LIMIT %s

-- name: release_requests
UPDATE requests SET worker_id = NULL WHERE worker_id = %s

-- name: settle_requests
WITH answer AS (SELECT * FROM unnest(%s::bigint[], %s::text[]) AS given (request_id, reason)),
     started AS (
         DELETE FROM requests USING answer
         WHERE requests.request_id = answer.request_id AND answer.reason IS NULL
     )
UPDATE requests SET refused_at = clock_timestamp(), reason = answer.reason
FROM answer
WHERE requests.request_id = answer.request_id AND answer.reason IS NOT NULL
