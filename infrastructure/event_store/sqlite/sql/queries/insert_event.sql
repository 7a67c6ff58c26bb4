-- Inserts an event.
INSERT INTO events (position, stream_id, version, topic, schema_version, state, correlation_id, causation_position,
                    meta, recorded_at, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
