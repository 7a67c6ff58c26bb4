"""Connections to PostgreSQL: the only ones that this package opens, so that each exchange crosses the boundary."""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from .. import boundary
from ..boundary import crossing

T = TypeVar("T")


class BoundaryConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose exchanges can be watched: psycopg sends and awaits everything in `wait`, statements as well as
    the beginning and the end of transactions."""

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        if boundary.watcher is None:
            return super().wait(gen, *arguments, **options)
        with crossing(f"postgres {getattr(gen, '__name__', 'exchange').strip('_')}"):
            return super().wait(gen, *arguments, **options)


def connect(conninfo: str, *, autocommit: bool = False) -> BoundaryConnection:
    """A connection. Raises what psycopg raises."""
    with crossing("postgres connect"):
        return BoundaryConnection.connect(conninfo, autocommit=autocommit)
