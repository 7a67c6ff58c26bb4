"""The output of commands: answers, tables, times, progress, and events in words."""
