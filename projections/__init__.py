"""Read models: each folds events into a table that can be queried, and has a position of its own in the log."""
