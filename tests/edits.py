"""Edits of a ledger's database behind its back, as a person with an SQL shell makes them."""

from __future__ import annotations

import sqlite3

import psycopg


def edit(url: str, *statements: str) -> None:
    """Execute statements that the triggers of the log do not see; the triggers are there again afterwards."""
    if url.startswith("sqlite"):
        _edit_sqlite(url.removeprefix("sqlite:///"), statements)
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("SET session_replication_role = replica")
            for statement in statements:
                server.execute(statement)


def edit_openly(url: str, *statements: str) -> None:
    """Execute statements as any client does: the triggers of the log see them."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            for statement in statements:
                connection.execute(statement)
        finally:
            connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as server:
            for statement in statements:
                server.execute(statement)


def _edit_sqlite(path: str, statements: tuple[str, ...]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        connection.execute("PRAGMA synchronous = OFF")  # a test need not survive a power cut
        connection.execute("BEGIN IMMEDIATE")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")
    finally:
        connection.close()
