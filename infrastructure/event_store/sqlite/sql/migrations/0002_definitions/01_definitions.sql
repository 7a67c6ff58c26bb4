-- The fingerprint that each version of a definition had when its first saga started.
CREATE TABLE definitions (
    definition         TEXT    NOT NULL,
    definition_version INTEGER NOT NULL,
    fingerprint        TEXT    NOT NULL,
    PRIMARY KEY (definition, definition_version)
) STRICT;

INSERT OR IGNORE INTO definitions
SELECT fact ->> 'definition', fact ->> 'definition_version', fact ->> 'fingerprint'
FROM (SELECT position, CAST(state AS TEXT) AS fact FROM events WHERE topic = 'SagaStarted')
ORDER BY position;
