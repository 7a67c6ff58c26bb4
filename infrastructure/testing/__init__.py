"""Testing one's own sagas without a database."""
