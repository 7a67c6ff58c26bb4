"""The HTTP API: a ledger for programs in any language."""
