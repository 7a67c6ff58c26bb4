"""The projector: keeps the views up with the log, batch by batch, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from threading import Condition, Event, Thread
from time import monotonic

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ...domain.errors import InvalidInput
from ...projections.projection import PoisonEvent, Projection
from ..errors import TimedOut, Unavailable
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..event_store.view_store import create_engine_for, first_line, reading, writing
from . import checkpoints as positions
from .apply_batch import RejectedWrite, View, commit, prepare
from .checkpoints import BUILDING, LIVE, STOPPED, Checkpoint
from .event_batch import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EventBatch, EventBatchReader
from .row_store import RowStore
from .standby import LOOK_SECONDS, Standby
from .tables import install

IDLE_SECONDS = 0.5
"""How long it waits for events before it looks for views that were resumed or rebuilt meanwhile, or for its end."""
PACE_SECONDS_MIN = 0.05
PACE_SECONDS_MAX = 0.2
PACE_SHARE = 0.2
"""After a batch that reached the head there is a pause, so that a busy log is folded in fewer, larger batches, in
which a saga's many events write its row once. Together they take as long as keeps folding to this share of the time,
within these bounds; a lone event after a pause is folded at once."""
BACKLOG_SECONDS = 10.0
"""Views that are so far behind catch up on old events, and hold up nobody who writes new ones."""
LEAST_SECONDS = 0.001
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0

_log = logging.getLogger("sagaledger.projector")


class Projector:
    """Folds the events of a log into the views that stand behind it.

    Several may run on one ledger, in as many processes: each event still counts once in each view, and one of them
    folds while the others stand by.
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
        self.engine: Engine = create_engine_for(backend.url)
        self._backend = backend
        self._views = {p.name: View(p, RowStore(p.table, self.engine.dialect)) for p in projections}
        topics = frozenset(topic for projection in projections for topic in projection.topics)
        self._reader = EventBatchReader(backend, codec, topics, events_max=batch_events_max, bytes_max=batch_bytes_max)
        self._installed = False
        self._stopping = Event()
        self._thread: Thread | None = None
        self._standby = Standby()
        self._came_up = Condition()
        self._current_at: float | None = None
        """What was in the log then is in the views, and more has come since; None while nothing has, and while they
        catch up on old events."""

    # In a thread of its own

    def start(self) -> None:
        """Follow the log until `stop`; views that an event stopped try it again."""
        if self._thread is not None:
            return
        self._stopping.clear()
        self._thread = Thread(target=self._follow, name="sagaledger-projector", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand, end the thread, and release the database."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._came_up_at(None)
        self.engine.dispose()

    def keep_up(self, lag_seconds_max: float, *, timeout_seconds: float) -> None:
        """Wait while views fall behind by more than this, but no longer than the timeout.

        Views that cannot be followed now, or catch up on what is more than some seconds old, are not waited for.
        """
        if self._lag_seconds > lag_seconds_max:
            with self._came_up:
                self._came_up.wait_for(lambda: self._lag_seconds <= lag_seconds_max, timeout_seconds)

    @property
    def stands_by(self) -> bool:
        """Whether it leaves the views to another projector, and watches that they move."""
        return self._standby.watching

    @property
    def _lag_seconds(self) -> float:
        current_at = self._current_at
        return 0.0 if current_at is None else monotonic() - current_at

    def _came_up_at(self, current_at: float | None) -> None:
        with self._came_up:
            self._current_at = current_at
            self._came_up.notify_all()

    def _follow(self) -> None:
        pause_seconds = 0.0
        backoff_seconds = 0.0
        resumed = False
        while not self._stopping.wait(pause_seconds):
            try:
                if not resumed:
                    self.resume()
                    resumed = True
                pause_seconds = self._follow_once()
                backoff_seconds = 0.0
            except Exception as error:  # noqa: BLE001  # supervised: whatever it is, the views go on after it
                self._came_up_at(None)
                pause_seconds = backoff_seconds = _longer(backoff_seconds)
                _log.warning(
                    "views are not followed for %.1f s: %s",
                    backoff_seconds,
                    error,
                    exc_info=None if isinstance(error, Unavailable) else error,
                )

    def _follow_once(self) -> float:
        """Fold what there is, or wait for more; gives for how many seconds to pause."""
        if self.stands_by:
            return self._watch()
        began = monotonic()
        head = self._backend.head().position
        folded, left_seconds = self._fold_next()
        if not folded:
            self._came_up_at(None)
            self._backend.wait_beyond(head, IDLE_SECONDS)
            return 0.0
        self._came_up_at(began - left_seconds if left_seconds < BACKLOG_SECONDS else None)
        return 0.0 if left_seconds else _pause(monotonic() - began)

    def _watch(self) -> float:
        """Leave the views to whoever keeps them up; gives for how many seconds to pause."""
        head = self._backend.head()
        stands = [standing.position for standing in self.standings() if standing.status == LIVE]
        hindmost = min(stands, default=head.position)
        self._standby.look(hindmost, head.position)
        waiting = self._backend.read(hindmost, limit=1, upto=head.position)
        left_seconds = _apart_seconds(waiting[0].recorded_at, head.recorded_at) if waiting else BACKLOG_SECONDS
        self._came_up_at(monotonic() - left_seconds if left_seconds < BACKLOG_SECONDS else None)
        return LOOK_SECONDS if self.stands_by else 0.0

    # Step by step

    def run_once(self) -> int:
        """Fold one batch into each group of views that stand at the same position; gives how many events that was.

        0: every view that is not stopped has reached the head of the log. Raises `Unavailable`.
        """
        folded, _ = self._fold_next()
        return folded

    def _fold_next(self) -> tuple[int, float]:
        """Fold one batch into each group of views; gives how many events that was, and of how many seconds some are
        left: 0 if none are."""
        self._install()
        head = self._backend.head()
        behind = sorted((s for s in self.standings() if s.status == LIVE and s.position < head.position), key=_position)
        folded = 0
        left_seconds = 0.0
        for position, group in groupby(behind, key=_position):
            batch = self._reader.read(position, head.position)
            moved = self._fold(batch, [self._views[standing.name] for standing in group])
            self._standby.folded(in_vain=not moved)
            folded += batch.upto - batch.after
            if batch.upto < head.position:
                last = batch.events[-1].recorded_at if batch.events else head.recorded_at
                left_seconds = max(left_seconds, _apart_seconds(last, head.recorded_at))
        return folded, left_seconds

    def catch_up(self, upto: int | None = None, *, timeout_seconds: float = 3600.0) -> int:
        """Fold until every view that is not stopped has reached a position, by default the head as it is now.

        Gives that position. Raises `TimedOut`, `Unavailable`.
        """
        target = self._backend.head().position if upto is None else upto
        deadline = monotonic() + timeout_seconds
        self._install()
        while any(s.status == LIVE and s.position < target for s in self.standings()):
            if monotonic() > deadline:
                raise TimedOut(f"the views did not reach position {target} within {timeout_seconds:g} seconds")
            if not self.run_once():
                self._backend.wait_beyond(self._backend.head().position, IDLE_SECONDS)
        return target

    def standings(self) -> list[Checkpoint]:
        """Where the live generation of each of these views stands."""
        self._install()
        with reading(self.engine) as connection:
            known = positions.standings(connection)
        return [s for s in known if s.name in self._views and s.status != BUILDING]

    def resume(self, name: str | None = None) -> None:
        """Let a stopped view, or every one, try again the event that stopped it. Raises `InvalidInput`."""
        if name is not None and name not in self._views:
            raise InvalidInput(f"there is no view {name!r}: there are {', '.join(sorted(self._views))}")
        for standing in self.standings():
            declared = self._views[standing.name].projection.version
            if standing.status == STOPPED and standing.version == declared and name in (None, standing.name):
                with writing(self.engine) as connection:
                    positions.change(connection, standing, status=LIVE, error=None, stopped_at_position=None)

    def _install(self) -> None:
        if not self._installed:
            install(self.engine, [view.projection for view in self._views.values()])
            self._installed = True

    def _fold(self, batch: EventBatch, views: list[View]) -> bool:
        """Fold a batch into views; one whose table is not as declared is stopped, and does not hold up the others.

        Gives whether that moved or stopped any: not, if another projector was faster with all of them.
        """
        try:
            return self._fold_together(batch, views)
        except DBAPIError as error:
            if len(views) > 1:
                moved = [self._fold(batch, [view]) for view in views]
                return any(moved)
            self._stop_outside(
                views[0].projection.name, batch.after + 1, f"its table cannot be used: {first_line(error)}"
            )
            return True

    def _fold_together(self, batch: EventBatch, views: list[View]) -> bool:
        """Fold a batch into views, dividing it for a view that the database refuses it from, down to one event."""
        with reading(self.engine) as connection:
            standing = {s.name: s for s in positions.standings(connection) if s.status == LIVE}
            prepared = [
                prepare(connection, view, standing[view.projection.name], batch)
                for view in views
                if view.projection.name in standing
                and batch.after <= standing[view.projection.name].position < batch.upto
            ]
        if not prepared:
            return False
        with writing(self.engine) as connection:
            moved, refused = commit(connection, prepared)
        for refusal in refused:
            self._narrow(batch, refusal)
        return bool(moved or refused)

    def _narrow(self, batch: EventBatch, refusal: RejectedWrite) -> None:
        """Find the event whose rows the database refuses, and stop the view in front of it."""
        if batch.upto - batch.after > 1:
            middle = (batch.after + batch.upto) // 2
            self._fold(batch.before(middle + 1), [refusal.view])
            self._fold(batch.beyond(middle), [refusal.view])
            return
        name, topic = refusal.view.projection.name, type(batch.events[0].event).schema.name
        self._stop_outside(name, batch.upto, str(PoisonEvent(name, batch.upto, topic, refusal.cause)))

    def _stop_outside(self, name: str, position: int, error: str) -> None:
        """Stop a view in front of an event, in a transaction of its own, if it still stands there."""
        with writing(self.engine) as connection:
            standing = positions.current(connection, name)
            if standing is not None and standing.status == LIVE and standing.position < position:
                positions.change(connection, standing, status=STOPPED, error=error, stopped_at_position=position)


def _apart_seconds(earlier: datetime | None, later: datetime | None) -> float:
    """How much later something was recorded than something before; never nothing."""
    if earlier is None or later is None:
        return LEAST_SECONDS
    return max((later - earlier).total_seconds(), LEAST_SECONDS)


def _position(standing: Checkpoint) -> int:
    return standing.position


def _pause(folding_seconds: float) -> float:
    """How long to let events gather after a batch that took so long."""
    pace_seconds = min(max(folding_seconds / PACE_SHARE, PACE_SECONDS_MIN), PACE_SECONDS_MAX)
    return max(pace_seconds - folding_seconds, 0.0)


def _longer(seconds: float) -> float:
    return min(max(seconds * 2, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)
