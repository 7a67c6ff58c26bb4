-- Records a fingerprint, unless one is recorded already.
INSERT INTO definitions (definition, definition_version, fingerprint) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING
