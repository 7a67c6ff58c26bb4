"""Group commit: one append for all sagas that are ready."""
