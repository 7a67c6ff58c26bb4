"""How fast the ledger is, measured beside its limits and its peers: `python -m benchmarks`."""
