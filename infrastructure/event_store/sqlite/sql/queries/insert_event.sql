-- Inserts an event. ROLLBACK, as in the trigger `events_continue`: with both, SQLite keeps no journal of each statement.
INSERT OR ROLLBACK
INTO events (position, stream_id, version, topic, schema_version, state, correlation_id, causation_position,
             meta, recorded_at, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
