"""Recorders through which applications of the `eventsourcing` library live in a ledger."""
