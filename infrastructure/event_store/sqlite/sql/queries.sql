-- name: has_schema
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sagaledger_schema'

-- name: tables
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name

-- name: create_schema
CREATE TABLE IF NOT EXISTS sagaledger_schema (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT

-- name: schema_version
SELECT coalesce(max(version), 0) FROM sagaledger_schema

-- name: migrated
INSERT INTO sagaledger_schema (version, applied_at) VALUES (?, ?)

-- name: head
SELECT position, hash, recorded_at FROM head

-- name: ends
SELECT wanted.value, (SELECT max(version) FROM events WHERE stream_id = wanted.value)
FROM json_each(?) AS wanted

-- name: insert_event
INSERT INTO events (position, stream_id, version, topic, schema_version, state, correlation_id, causation_position,
                    meta, recorded_at, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_append
INSERT INTO appends (append_id, first_position, last_position, recorded_at, hash) VALUES (?, ?, ?, ?, ?)

-- name: move_head
UPDATE head SET position = ?, hash = ?, recorded_at = ?

-- name: known_append
SELECT first_position, last_position, recorded_at FROM appends WHERE append_id = ?

-- name: end_before
SELECT max(version) FROM events WHERE stream_id = ? AND position < ?

-- name: read
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > :after AND position <= :upto
ORDER BY position
LIMIT :limit

-- name: read_topics
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > :after AND position <= :upto AND topic IN (SELECT value FROM json_each(:topics))
ORDER BY position
LIMIT :limit

-- name: stream
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE stream_id = :stream_id AND version > :after AND version <= :upto
ORDER BY version

-- name: streams
SELECT e.position, e.stream_id, e.version, e.topic, e.schema_version, e.state, e.correlation_id,
       e.causation_position, e.meta, e.recorded_at, e.digest
FROM json_each(:after) AS wanted
CROSS JOIN events AS e  -- CROSS: probe the index for each wanted stream
WHERE e.stream_id = json_extract(wanted.value, '$[0]') AND e.version > json_extract(wanted.value, '$[1]')
ORDER BY e.stream_id, e.version

-- name: payloads
SELECT stream_id, topic, schema_version, state
FROM events
WHERE stream_id IN (SELECT value FROM json_each(?))
ORDER BY stream_id, version

-- name: correlated
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position IN (
    SELECT position FROM events WHERE stream_id = :correlation_id
    UNION
    SELECT position FROM events WHERE correlation_id = :correlation_id AND position > :after
) AND position > :after
ORDER BY position
LIMIT :limit

-- name: position_at
SELECT last_position FROM appends WHERE recorded_at <= ? ORDER BY recorded_at DESC, last_position DESC LIMIT 1

-- name: appends
SELECT append_id, first_position, last_position, recorded_at, hash
FROM appends
WHERE last_position > ?
ORDER BY last_position
LIMIT ?

-- name: misplaced
SELECT position, stream_id, version, previous_version
FROM (
    SELECT position, stream_id, version,
           lag(version) OVER streams AS previous_version,
           lag(position) OVER streams AS previous_position
    FROM events
    WINDOW streams AS (PARTITION BY stream_id ORDER BY version)
)
WHERE version <> previous_version + 1
   OR position < previous_position
   OR (previous_version IS NULL AND version NOT IN (0, 1))
ORDER BY position
LIMIT ?

-- name: snapshots
SELECT stream_id, version, schema, state FROM snapshots WHERE stream_id IN (SELECT value FROM json_each(?))

-- name: put_snapshot
INSERT INTO snapshots (stream_id, version, schema, state) VALUES (?, ?, ?, ?)
ON CONFLICT (stream_id) DO UPDATE
SET version = excluded.version, schema = excluded.schema, state = excluded.state
WHERE excluded.version >= snapshots.version

-- name: consumer
SELECT position, append_id FROM consumers WHERE consumer = ?

-- name: move_consumer
INSERT INTO consumers (consumer, position, append_id) VALUES (?, ?, ?)
ON CONFLICT (consumer) DO UPDATE SET position = excluded.position, append_id = excluded.append_id

-- name: put_due
-- A release of a saga that was nudged meanwhile leaves it due at once: nobody may sleep through a nudge.
INSERT INTO due (saga_id, definition, definition_version, due_at, worker_id)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (saga_id) DO UPDATE
SET definition = excluded.definition,
    definition_version = excluded.definition_version,
    due_at = iif(nudged AND excluded.worker_id IS NULL, min(excluded.due_at, ?6), excluded.due_at),
    worker_id = excluded.worker_id,
    nudged = nudged AND excluded.worker_id IS NOT NULL

-- name: remove_due
DELETE FROM due WHERE saga_id = ? AND nudged = 0

-- name: keep_nudged
-- What is over may have been nudged meanwhile: then it is due at once.
UPDATE due SET due_at = min(due_at, ?2), worker_id = NULL, nudged = 0 WHERE saga_id = ?1

-- name: nudge
INSERT INTO due (saga_id, definition, definition_version, due_at)
VALUES (:saga_id, :definition, :definition_version, :now)
ON CONFLICT (saga_id) DO UPDATE
SET due_at = min(due_at, excluded.due_at), nudged = worker_id IS NOT NULL

-- name: register
INSERT INTO workers (worker_id, host, pid, started_at, lease_until) VALUES ('', ?, ?, ?, ?) RETURNING epoch

-- name: name_worker
UPDATE workers SET worker_id = ? WHERE epoch = ?

-- name: holds_lease
SELECT 1 FROM workers WHERE worker_id = ? AND epoch = ?

-- name: renew
UPDATE workers SET lease_until = ? WHERE worker_id = ? AND epoch = ?

-- name: retire
DELETE FROM workers WHERE worker_id = ? AND epoch = ?

-- name: end_leases
DELETE FROM workers RETURNING worker_id

-- name: release_all
UPDATE due
SET due_at = iif(nudged, min(due_at, :now), due_at), worker_id = NULL, nudged = 0
WHERE worker_id = :worker_id

-- name: stirs
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

-- name: claim
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

-- name: nudged
UPDATE due SET nudged = 0 WHERE worker_id = ? AND nudged = 1 RETURNING saga_id

-- name: release
UPDATE due
SET due_at = iif(nudged, min(due_at, :now), due_at), worker_id = NULL, nudged = 0
WHERE worker_id = :worker_id AND saga_id IN (SELECT value FROM json_each(:saga_ids))

-- name: due
SELECT saga_id, definition, definition_version, due_at, worker_id FROM due ORDER BY saga_id

-- name: workers
SELECT w.worker_id, w.epoch, w.host, w.pid, w.started_at, w.lease_until,
       (SELECT count(*) FROM due WHERE due.worker_id = w.worker_id)
FROM workers AS w
ORDER BY w.epoch

-- name: fingerprints
SELECT definition, definition_version, fingerprint FROM definitions

-- name: record_fingerprint
INSERT INTO definitions (definition, definition_version, fingerprint) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING
