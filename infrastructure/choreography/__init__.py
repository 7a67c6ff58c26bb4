"""Choreographies at work: services that follow the log, what they could not handle, and the sagas derived from it."""
