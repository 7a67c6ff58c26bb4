"""The domain: sagas, participants, and their facts. Pure: no I/O, no clock, no SQL."""
