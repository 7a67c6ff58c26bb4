-- Records that a migration was applied.
INSERT INTO sagaledger_schema (version, applied_at) VALUES (?, ?)
