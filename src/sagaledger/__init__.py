"""sagaledger: an event-sourced saga store with CQRS read models."""
