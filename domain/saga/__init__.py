"""Sagas: how one is declared, which events it records, the state they add up to, and what happens next."""
