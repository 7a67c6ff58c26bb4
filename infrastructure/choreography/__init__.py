"""Choreographies at run time: delivery of events to services, dead letters, and starting processes."""
