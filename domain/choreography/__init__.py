"""Choreographies: services that react to each other's events, and the saga derived from these events."""
