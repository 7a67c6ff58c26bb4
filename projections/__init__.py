"""Read models: each a fold of the log into queryable tables, at its own position."""
