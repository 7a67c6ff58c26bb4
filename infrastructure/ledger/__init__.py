"""One open ledger: starting, auditing and operating sagas. The command line and the API are thin shells over it."""
