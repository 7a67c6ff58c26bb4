"""What PostgreSQL's errors mean: an outage that passes, a refusal that only a person can end, or a wrong value."""

from __future__ import annotations

import re
from typing import Final

import psycopg

from ....domain.errors import InvalidInput, SagaledgerError
from ...errors import DamagedLedger, NotALedger, PermanentlyUnavailable, Unavailable

_LOCKED: Final = ("55P03", "40P01", "40001", "57014")
_OF_THE_SCHEMA: Final = ("42P01", "42883", "42703", "3F000")
_PERMANENT_CLASSES: Final = ("23", "28", "3D", "42", "F0", "XX")
"""Integrity, authorization, unknown database, syntax and access rules, configuration, internal errors."""
_PERMANENT: Final = ("53400", "55000", "57P04")
"""A configured limit, an object that is not in the needed state, and a database that was dropped."""
_REFUSED_LOGIN: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|does not exist"
    r"|not permitted to log in|permission denied|no such (?:database|user)|not currently accepting connections"
    r"|certificate verify failed|does not support SSL|invalid (?:connection option|sslmode|port)"
)
"""A refused login has no SQLSTATE on the client's side. In another language it counts as an outage, and is retried."""

_REFUSED_BY_POOLER: Final = {
    "unsupported startup parameter": "a pooler does not pass on the URL's options: leave them out, and name the "
    "ledger's schema with ?schema=NAME",
    "statement pooling mode": "the ledger needs transactions: let the pooler have pool_mode = transaction, or session",
}
"""The remedy for what PgBouncer refuses, by what it says: its errors have no SQLSTATE that tells them apart."""


def lost(error: psycopg.Error) -> bool:
    """Return whether an error means that the connection is lost, and the reply with it."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def explain(error: psycopg.Error, *, place: str, url: str) -> SagaledgerError:
    """Return the error of ours that an error of PostgreSQL means. `place` names the database, `url` hides secrets."""
    detail = first_line(error)
    if isinstance(error, psycopg.IntegrityError):
        return DamagedLedger(f"{place} refuses what was to be written: {detail}")
    if isinstance(error, psycopg.DataError) or (error.sqlstate or "").startswith("54"):  # 54: a limit of the server
        return InvalidInput(f"a value cannot be stored in {place}: {detail}")
    for refusal, remedy in _REFUSED_BY_POOLER.items():
        if refusal in detail:
            return PermanentlyUnavailable(f"{place} refuses ({detail}): {remedy}")
    match error.sqlstate:
        case None if _REFUSED_LOGIN.search(detail):
            return PermanentlyUnavailable(f"{place} refuses the connection ({detail}): correct the URL or the role")
        case None:
            return Unavailable(f"{place} cannot be reached ({detail}): check the server and the URL")
        case "25006":
            return Unavailable(
                f"{place} is read-only ({detail}): use the primary server, or set default_transaction_read_only off"
            )
        case state if state in _LOCKED:
            return Unavailable(f"{place} stayed locked by another program ({detail}): retry")
        case "53100":
            return Unavailable(f"the disk of {place} is full, nothing was written: free some space and retry")
        case state if state in _OF_THE_SCHEMA:
            return NotALedger(f"{place} lost a part of its schema ({detail}): `sagaledger init --db {url}`")
        case state if is_permanent(state):
            return PermanentlyUnavailable(f"{place} refuses: {detail}")
        case _:
            return Unavailable(f"{place} cannot be used: {detail}")


def is_permanent(state: str) -> bool:
    """Return whether an SQLSTATE means that trying again cannot help."""
    return state.startswith(_PERMANENT_CLASSES) or state in _PERMANENT


def first_line(error: Exception) -> str:
    """Return the first line of the server's message: the lines below it repeat the statement."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
