"""Applications and aggregates of the `eventsourcing` library, living in a ledger."""
