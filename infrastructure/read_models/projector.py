"""The projector: keeps views up with the log, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import groupby
from time import monotonic

from ...domain.errors import InvalidInput
from ...projections.projection import Projection
from ..errors import TimedOut
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..runtime.observer import Observer
from ..runtime.outage_log import OutageLog
from . import checkpoints
from .apply_batch import View
from .batch_folder import BatchFolder
from .checkpoints import LIVE, STOPPED, Checkpoint, absent
from .declarations import compare_declarations
from .event_batch import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EventBatchReader
from .follower import IDLE_SECONDS, Follower, Pass, seconds_apart
from .following import Following
from .row_store import RowStore
from .standby import Standby
from .succession import Succession
from .tables import install, table_named, version_mismatch

_logger = logging.getLogger(__name__)


class Projector:
    """Folds the events of a log into the views that are behind it, step by step or in a thread of its own.

    Several may run on one ledger, in any number of processes: each event still counts once in each view, and one of
    the projectors folds while the others stand by. The first step creates the tables of views that are absent, and
    those of views that only an older version has made: each version has its own (see `generations`).
    """

    def __init__(
        self,
        backend: Backend,
        codec: Codec,
        projections: Sequence[Projection],
        *,
        batch_events_max: int = BATCH_EVENTS_MAX,
        batch_bytes_max: int = BATCH_BYTES_MAX,
        outage: OutageLog | None = None,
        creates: bool = True,
        observer: Observer | None = None,
    ) -> None:
        """`creates`: whether the first step creates tables; otherwise it folds into those that there are."""
        self._backend = backend
        self._store = backend.views
        self._projections = {projection.name: projection for projection in projections}
        self._views: dict[str, View] = {}
        """By the name that the table of its generation has, which may change (see `generations`)."""
        topics = frozenset(topic for projection in projections for topic in projection.topics)
        self._reader = EventBatchReader(backend, codec, topics, events_max=batch_events_max, bytes_max=batch_bytes_max)
        self._folder = BatchFolder(self._store, observer)
        self._standby = Standby()
        self._following = Following(self._store, projections)
        self._follower = Follower(backend, self, self._standby, self._following, outage)
        self._succession = Succession(backend, codec)
        self._creates = creates
        self._installed = False
        self._unfollowed: set[str] = set()
        """The views of other versions that were warned of."""

    # In a thread of its own

    def start(self) -> None:
        """Follow the log in a thread until `stop`; views that an event stopped try it again."""
        self._follower.start()

    def stop(self) -> None:
        """Finish the batch at hand, and end the thread."""
        self._follower.stop()
        self._following.end()

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

        0: every view that is not stopped has reached the head of the log. Raises `Unavailable`, `NotALedger`, and
        `ProjectionChanged` for a view whose table was changed without a new version.
        """
        return self.fold_next().events

    def fold_next(self) -> Pass:
        """Fold one batch into each group of views at the same position, and say how much is left."""
        self._install()
        head = self._backend.head()
        followed = self.followed()
        behind = sorted((c for c in followed if c.position < head.position), key=_position)
        events = 0
        left_seconds = 0.0
        for position, group in groupby(behind, key=_position):
            batch = self._reader.read(position, head.position)
            moved = self._folder.fold(batch, [self._view(checkpoint) for checkpoint in group])
            self._standby.folded(in_vain=not moved)
            events += batch.upto - batch.after
            if batch.upto < head.position:
                last = batch.events[-1].recorded_at if batch.events else head.recorded_at
                left_seconds = max(left_seconds, seconds_apart(last, head.recorded_at))
        for checkpoint in followed:
            if checkpoint.is_beside:
                self._succession.publish(self._view(checkpoint))
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
        """Return the checkpoint of each of its views, by name; creates nothing.

        It is that of the declared version's generation; without one, that of the generation with the view's name.
        """
        with self._store.reading() as connection:
            recorded = checkpoints.read_current(connection) if checkpoints.exist(connection) else {}
        return [
            checkpoints.seen_by(recorded, name, projection.version) or absent(name, projection.version)
            for name, projection in sorted(self._projections.items())
        ]

    def followed(self) -> list[Checkpoint]:
        """Return the checkpoint of each view that it folds: it is not stopped, and of the declared version."""
        followed = []
        for checkpoint in self.checkpoints():
            declared = self._projections[checkpoint.view].version
            if checkpoint.status == LIVE and checkpoint.version == declared:
                followed.append(checkpoint)
            elif checkpoint.status == LIVE and checkpoint.view not in self._unfollowed:
                self._unfollowed.add(checkpoint.view)
                _logger.warning("view %r is not followed: %s", checkpoint.view, version_mismatch(checkpoint, declared))
        return followed

    def resume(self, name: str | None = None) -> None:
        """Let a stopped view, or every one, try again the event that stopped it. Raises `InvalidInput`."""
        if name is not None and name not in self._projections:
            raise InvalidInput(f"there is no view {name!r}: there are {', '.join(sorted(self._projections))}")
        for checkpoint in self.checkpoints():
            declared = self._projections[checkpoint.view].version
            if checkpoint.status == STOPPED and checkpoint.version == declared and name in (None, checkpoint.view):
                with self._store.writing() as connection:
                    checkpoints.change(connection, checkpoint, status=LIVE, error=None, stopped_at_position=None)

    def _view(self, checkpoint: Checkpoint) -> View:
        """Return the view of a generation, which is found by its table's name."""
        view = self._views.get(checkpoint.name)
        if view is None:
            projection = self._projections[checkpoint.view]
            view = View(projection, RowStore(table_named(projection, checkpoint.name), self._store.dialect))
            self._views[checkpoint.name] = view
        return view

    def _install(self) -> None:
        if not self._installed:
            projections = list(self._projections.values())
            if self._creates:
                install(self._store, projections)
                self._succession.begin(projections)
            else:
                compare_declarations(self._store, projections)
            self._installed = True


def _position(checkpoint: Checkpoint) -> int:
    return checkpoint.position
