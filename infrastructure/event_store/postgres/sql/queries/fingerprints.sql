-- Returns the recorded fingerprint of each version of each definition.
SELECT definition, definition_version, fingerprint FROM definitions
