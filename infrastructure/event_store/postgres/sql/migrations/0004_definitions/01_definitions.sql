-- The fingerprint that each version of a definition had when its first saga started.
CREATE TABLE definitions (
    definition         text    NOT NULL,
    definition_version integer NOT NULL,
    fingerprint        text    NOT NULL,
    PRIMARY KEY (definition, definition_version)
);

INSERT INTO definitions
SELECT DISTINCT ON (definition, definition_version) definition, definition_version, fingerprint
FROM (
    SELECT position, fact ->> 'definition' AS definition, (fact ->> 'definition_version')::integer
               AS definition_version, fact ->> 'fingerprint' AS fingerprint
    FROM (SELECT position, convert_from(state, 'UTF8')::json AS fact FROM events WHERE topic = 'SagaStarted') AS started
) AS found
ORDER BY definition, definition_version, position;
