-- The structures with which the sagas of each version of a definition were started. Rows are inserted, and never changed.
CREATE TABLE structures (
    definition         TEXT    NOT NULL,
    definition_version INTEGER NOT NULL,
    fingerprint        TEXT    NOT NULL,  -- the first 16 hexadecimal digits of the structure's SHA-256
    structure          TEXT    NOT NULL,  -- canonical JSON
    PRIMARY KEY (definition, definition_version, fingerprint)
) STRICT;
