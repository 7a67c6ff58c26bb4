"""Generations side by side: each version of a view has a table of its own while programs of several versions run.

A newer program finds a view that an older version made. It creates a table beside it, `<view>__v<version>`, folds the
log into that, and gives it the view's name once it has come as far. The older generation then stands beside, and the
older programs go on with it. Each of these steps is one transaction, and each program finds the table of its version by
the rows of `projections`. Generations beside a view are dropped by `prune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.exc import DBAPIError

from ...projections.projection import Projection
from ...projections.view_version import is_older
from ..errors import WrongState
from ..event_store.view_store import ViewStore, first_line, is_unavailability
from . import checkpoints
from .checkpoints import LIVE, Checkpoint
from .declarations import check_declarations, forget_declaration
from .following import forget_followers, read_followers
from .tables import create, drop, rename, table_beside


class Pruned(NamedTuple):
    """What became of the generations beside the views."""

    dropped: list[Checkpoint]
    kept: list[tuple[Checkpoint, list[str]]]
    """Those that programs still follow, and who follows them."""


def begin_beside(views: ViewStore, projection: Projection) -> bool:
    """Create the table of a version newer than the one that has the view's name, unless that version has one.

    Returns whether it was created. Raises `PermanentlyUnavailable` for a role that may not create tables.
    """
    with views.writing() as connection:
        views.lock_installation(connection)
        checkpoints.lock(connection, [projection.name])  # look only after that: a rebuild may just have ended
        if not may_begin(checkpoints.read_current(connection), projection):
            return False
        table = table_beside(projection)
        create(connection, table)
        checkpoints.add(connection, table.name, 1, projection.version, LIVE)
    check_declarations(views, [projection])
    return True


def may_begin(recorded: Mapping[str, Checkpoint], projection: Projection) -> bool:
    """Whether a projection is newer than the view that the database has, and has no generation yet."""
    public = recorded.get(projection.name)
    own = checkpoints.of_version(recorded, projection.name, projection.version)
    return public is not None and own is None and is_older(public.version, projection.version)


def set_aside(connection: Connection, public: Checkpoint) -> None:
    """Take the view's name from a generation; programs of its version go on with it. The caller has locked its row.

    A generation whose table was dropped is forgotten.
    """
    if not inspect(connection).has_table(public.name):
        checkpoints.remove(connection, public)
        forget_declaration(connection, public)
        return
    name = checkpoints.name_beside(public.view, public.version)
    rename(connection, _table(public.name), name)
    checkpoints.hand_over(connection, public, name, 1)


def drop_generation(connection: Connection, generation: Checkpoint) -> None:
    """Drop a generation beside a view, its journal and its row. The caller has locked its row."""
    drop(connection, _table(generation.name))
    checkpoints.forget_journal_beside(connection, generation)
    checkpoints.remove(connection, generation)


def prune(views: ViewStore, view: str | None = None) -> Pruned:
    """Drop the generations beside a view, or beside every view, that no running projector follows.

    `view` may also be the name of one generation's table.
    Raises `WrongState` for one on which other objects of the database depend, and `Unavailable`.
    """
    with views.reading() as connection:
        found = checkpoints.read_current(connection) if checkpoints.exist(connection) else {}
    dropped, kept = [], []
    for generation in found.values():
        if not generation.is_beside or view not in (None, generation.view, generation.name):
            continue
        followers = _prune(views, generation)
        if followers is None:
            continue
        if followers:
            kept.append((generation, followers))
        else:
            dropped.append(generation)
    return Pruned(dropped, kept)


def _prune(views: ViewStore, generation: Checkpoint) -> list[str] | None:
    """Drop one, unless it is followed. Returns who follows it; None if it is no longer beside the view."""
    try:
        with views.writing() as connection:
            checkpoints.lock(connection, [generation.name])
            current = checkpoints.current(connection, generation.name)
            if current is None:
                return None
            version = (generation.view, generation.version)
            followers = read_followers(connection).get(version, [])
            if not followers:
                drop_generation(connection, current)
                forget_declaration(connection, current)
                forget_followers(connection, version)
            return followers
    except DBAPIError as error:
        if is_unavailability(error):
            raise
        raise WrongState(f"generation {generation.name!r} cannot be dropped: {first_line(error)}") from error


def _table(name: str) -> Table:
    return Table(name, MetaData())
