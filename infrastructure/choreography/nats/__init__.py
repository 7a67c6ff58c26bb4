"""Choreographies between processes: the log's events over NATS JetStream. The broker is never the source of truth."""
