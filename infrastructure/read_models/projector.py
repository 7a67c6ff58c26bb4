"""The projector: keeps views up with the log, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import groupby
from time import monotonic

from ...domain.errors import InvalidInput
from ...projections.projection import Projection
from ...projections.view_version import is_older
from ..errors import TimedOut
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from . import checkpoints
from .apply_batch import View
from .batch_folder import BatchFolder, is_followed
from .checkpoints import LIVE, STOPPED, Checkpoint, absent
from .event_batch import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EventBatchReader
from .follower import IDLE_SECONDS, Follower, Pass, seconds_apart
from .row_store import RowStore
from .standby import Standby
from .tables import install, version_mismatch

_logger = logging.getLogger("sagaledger.projector")


class Projector:
    """Folds the events of a log into the views that are behind it, step by step or in a thread of its own.

    Several may run on one ledger, in any number of processes: each event still counts once in each view, and one of
    the projectors folds while the others stand by. The first step creates the tables of views that are absent.
    """

    def __init__(
        self,
        backend: Backend,
        codec: Codec,
        projections: Sequence[Projection],
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
        batch_bytes_max: int = BATCH_BYTES_MAX,
    ) -> None:
        self._backend = backend
        self._store = backend.views
        self._views = {p.name: View(p, RowStore(p.table, self._store.dialect)) for p in projections}
        topics = frozenset(topic for projection in projections for topic in projection.topics)
        self._reader = EventBatchReader(backend, codec, topics, events_max=batch_events_max, bytes_max=batch_bytes_max)
        self._folder = BatchFolder(self._store)
        self._standby = Standby()
        self._follower = Follower(backend, self, self._standby)
        self._installed = False
        self._foreign: set[str] = set()
        """The views of newer versions, or of other apps, that were warned of."""

    # In a thread of its own

    def start(self) -> None:
        """Follow the log in a thread until `stop`; views that an event stopped try it again."""
        self._follower.start()

    def stop(self) -> None:
        """Finish the batch at hand, and end the thread."""
        self._follower.stop()

    @property
    def ended(self) -> Future[None]:
        """Done when the thread has ended: with the error that ended it, if a person must mend that."""
        return self._follower.ended

    def keep_up(self, lag_seconds_max: float, *, timeout_seconds: float) -> None:
        """Wait while the views are further behind than this (see `Follower.keep_up`)."""
        self._follower.keep_up(lag_seconds_max, timeout_seconds=timeout_seconds)

    @property
    def failing(self) -> str | None:
        """Why the thread cannot follow the log now, although it tries again; None if it can."""
        return self._follower.failing

    @property
    def lag_seconds(self) -> float | None:
        """How far the views are behind the log; None while the thread does not follow it. Any thread may ask."""
        return self._follower.lag_seconds

    @property
    def stands_by(self) -> bool:
        """Whether it leaves the views to another projector, and watches that they move."""
        return self._standby.watching

    # Step by step

    def run_once(self) -> int:
        """Fold one batch into each group of views at the same position. Returns how many events were folded.

        0: every view that is not stopped has reached the head of the log. Raises `Unavailable` and `NotALedger`.
        """
        return self.fold_next().events

    def fold_next(self) -> Pass:
        """Fold one batch into each group of views at the same position, and say how much is left."""
        self._install()
        head = self._backend.head()
        behind = sorted((c for c in self.followed() if c.position < head.position), key=_position)
        events = 0
        left_seconds = 0.0
        for position, group in groupby(behind, key=_position):
            batch = self._reader.read(position, head.position)
            moved = self._folder.fold(batch, [self._views[checkpoint.name] for checkpoint in group])
            self._standby.folded(in_vain=not moved)
            events += batch.upto - batch.after
            if batch.upto < head.position:
                last = batch.events[-1].recorded_at if batch.events else head.recorded_at
                left_seconds = max(left_seconds, seconds_apart(last, head.recorded_at))
        return Pass(events, left_seconds)

    def catch_up(self, upto: int | None = None, *, timeout_seconds: float = 3600.0) -> int:
        """Fold until every view that is not stopped has reached a position, by default the present head.

        Returns that position. Raises `TimedOut`, `Unavailable` and `NotALedger`.
        """
        target = self._backend.head().position if upto is None else upto
        deadline = monotonic() + timeout_seconds
        self._install()
        while any(checkpoint.position < target for checkpoint in self.followed()):
            if monotonic() > deadline:
                raise TimedOut(f"the views did not reach position {target} within {timeout_seconds:g} seconds")
            if not self.run_once():
                self._backend.wait_beyond(self._backend.head().position, IDLE_SECONDS)
        return target

    def standings(self) -> list[Checkpoint]:
        """Return the same as `checkpoints`, by the name that it had in version 0.1."""
        return self.checkpoints()

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoint of each of its views, by name; creates nothing."""
        with self._store.reading() as connection:
            recorded = checkpoints.read_current(connection) if checkpoints.exist(connection) else {}
        return [
            recorded.get(name) or absent(name, view.projection.version) for name, view in sorted(self._views.items())
        ]

    def followed(self) -> list[Checkpoint]:
        """Return the checkpoint of each view that it folds: it is not stopped, and of the declared version."""
        found = self.checkpoints()
        for checkpoint in found:
            declared = self._views[checkpoint.name].projection.version
            ours = checkpoint.version == declared or is_older(checkpoint.version, declared)
            if checkpoint.status == LIVE and not ours and checkpoint.name not in self._foreign:
                self._foreign.add(checkpoint.name)
                _logger.warning("view %r is not followed: %s", checkpoint.name, version_mismatch(checkpoint, declared))
        return [checkpoint for checkpoint in found if is_followed(checkpoint, self._views[checkpoint.name])]

    def resume(self, name: str | None = None) -> None:
        """Let a stopped view, or every one, try again the event that stopped it. Raises `InvalidInput`."""
        if name is not None and name not in self._views:
            raise InvalidInput(f"there is no view {name!r}: there are {', '.join(sorted(self._views))}")
        for checkpoint in self.checkpoints():
            declared = self._views[checkpoint.name].projection.version
            if checkpoint.status == STOPPED and checkpoint.version == declared and name in (None, checkpoint.name):
                with self._store.writing() as connection:
                    checkpoints.change(connection, checkpoint, status=LIVE, error=None, stopped_at_position=None)

    def _install(self) -> None:
        if not self._installed:
            install(self._store, [view.projection for view in self._views.values()])
            self._installed = True


def _position(checkpoint: Checkpoint) -> int:
    return checkpoint.position
