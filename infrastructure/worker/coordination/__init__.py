"""Sharing the work with other workers: leases, contention, and recovery of lost work."""
