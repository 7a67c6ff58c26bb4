-- Returns the recorded structures of each version of each definition.
SELECT definition, definition_version, fingerprint, structure FROM structures
