"""Choreographies: services that react to each other's events, and the saga that their events form."""
