-- Records a structure, unless it is recorded already.
INSERT INTO structures (definition, definition_version, fingerprint, structure) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING
