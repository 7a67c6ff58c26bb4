"""The domain: sagas, participants, choreographies and their events. Pure: no I/O, no clock, no SQL."""
