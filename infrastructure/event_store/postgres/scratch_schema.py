"""A schema for a while, such as for one test: an empty one to begin with, and gone in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql

from ...errors import Unavailable
from ..database_url import with_schema, without_schema
from ..redaction import redacted
from .connection import connect


@contextmanager
def scratch_schema(url: str) -> Iterator[str]:
    """Create a schema in the database at a URL; yields the URL of a ledger there.

    Raises `Unavailable`.
    """
    name = f"saga_test_{uuid4().hex[:16]}"
    server, _ = without_schema(url)
    try:
        with connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise Unavailable(f"no schema for tests can be created in {redacted(url)}: {error}") from error
    try:
        yield with_schema(url, name)
    finally:
        with connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
