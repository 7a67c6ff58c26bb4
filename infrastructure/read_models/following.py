"""Who follows which version of a view: each running projector says so from time to time.

A generation beside a view is of use as long as programs of its version run. That its position moves does not show it:
a log may be quiet for hours. So every projector that follows the log in a thread notes, in `projection_followers`, the
versions that it declares, and removes its rows when it stops. The rows of a process that died expire.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count
from time import monotonic

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, delete, insert, inspect, select

from ...projections.column_types import UtcDateTime
from ...projections.projection import Projection
from ..errors import PermanentlyUnavailable, Unavailable
from ..event_store.view_store import ViewStore
from . import checkpoints
from .readable import readable

NOTE_SECONDS = 15.0
"""How often a projector notes that it follows its views."""
FOLLOWED_SECONDS = 60.0
"""How long its note counts."""

METADATA = MetaData()
FOLLOWERS = Table(
    "projection_followers",
    METADATA,
    Column("view", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("follower", Text, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)
ViewVersion = tuple[str, int]
"""The name of a view, and a version of its projection."""

_logger = logging.getLogger(__name__)
_NUMBERS = count(1)


class Following:
    """The notes of one projector, which it keeps up from its thread."""

    def __init__(self, views: ViewStore, projections: Sequence[Projection]) -> None:
        self._views = views
        self._versions: list[ViewVersion] = [(projection.name, projection.version) for projection in projections]
        self._number = next(_NUMBERS)
        self._next_at = 0.0
        self._noted = False

    @property
    def follower(self) -> str:
        """This projector: its host, its process, and its number in that process."""
        return f"{socket.gethostname()}:{os.getpid()}:{self._number}"

    def note(self) -> None:
        """Note that the views are followed, unless that was noted a moment ago. Raises `Unavailable`."""
        if monotonic() < self._next_at:
            return
        self._next_at = monotonic() + NOTE_SECONDS
        if not self._noted and not install_notes(self._views):
            self._next_at = float("inf")
            return
        try:
            with self._views.writing() as connection:
                self._remove(connection)
                rows = [
                    {"view": view, "version": version, "follower": self.follower} for view, version in self._versions
                ]
                if rows:
                    connection.execute(insert(FOLLOWERS).values(seen_at=checkpoints.clock()), rows)
                if not self._noted:
                    _remove_expired(connection)
            self._noted = True
        except PermanentlyUnavailable as error:
            self._next_at = float("inf")
            _logger.warning("that this process follows its views cannot be noted (a right is missing): %s", error)

    def end(self) -> None:
        """Remove the notes; if that cannot be done, they count no longer after a while."""
        if self._noted:
            self._noted, self._next_at = False, 0.0
            try:
                with self._views.writing() as connection:
                    self._remove(connection)
            except Unavailable as error:
                _logger.warning("that this process follows its views no longer cannot be noted: %s", error)

    def _remove(self, connection: Connection) -> None:
        connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.follower == self.follower))


def install_notes(views: ViewStore) -> bool:
    """Create the table of the notes if it is absent. Returns whether it exists: a role may not be allowed to."""
    with views.reading() as connection:
        if inspect(connection).has_table(FOLLOWERS.name):
            return True
    try:
        with views.writing() as connection:
            views.lock_installation(connection)
            METADATA.create_all(connection)
    except PermanentlyUnavailable as error:
        _logger.warning(
            "who follows the views is not noted before the ledger's owner runs `sagaledger init`: %s", error
        )
        return False
    return True


def read_followers(connection: Connection) -> Mapping[ViewVersion, list[str]]:
    """Return the projectors that follow each version of a view now."""
    found: dict[ViewVersion, list[str]] = {}
    if not inspect(connection).has_table(FOLLOWERS.name):
        return found
    since = checkpoints.now(connection) - timedelta(seconds=FOLLOWED_SECONDS)
    noted = select(FOLLOWERS).where(FOLLOWERS.c.seen_at >= since)
    with readable(f"table {FOLLOWERS.name}"):
        for row in connection.execute(noted.order_by(FOLLOWERS.c.follower)):
            found.setdefault((row.view, row.version), []).append(row.follower)
    return found


def forget_followers(connection: Connection, version: ViewVersion) -> None:
    """Remove the notes about a version whose generation is dropped."""
    if inspect(connection).has_table(FOLLOWERS.name):
        row = FOLLOWERS.c
        connection.execute(delete(FOLLOWERS).where(row.view == version[0], row.version == version[1]))


def _remove_expired(connection: Connection) -> None:
    since = checkpoints.now(connection) - timedelta(seconds=FOLLOWED_SECONDS)
    connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.seen_at < since))
