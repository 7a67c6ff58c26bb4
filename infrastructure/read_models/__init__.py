"""Keeping the views up with the log: following, rebuilding, comparing, answering."""
