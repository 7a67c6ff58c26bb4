"""Benchmarks of the ledger beside its limits and its peers: `python -m benchmarks`."""
