"""The streams of schedules: reading their states, and appending what commands to them lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import cast

from ...domain.errors import DefinitionError
from ...domain.participant import Command
from ...domain.recorded_event import Meta
from ...domain.schedule.decide import CATALOG, CATEGORY, SCHEDULE_CATALOG
from ...domain.schedule.state import ScheduleState
from ..errors import ScheduleNotFound
from ..event_store.append_call import AppendCall
from ..event_store.work_queue import QueueEntry
from .append_builder import AppendBuilder
from .context import LedgerContext
from .stream_cache import StreamCache
from .timetable import CronTimetable, timetable_of
from .transact import call_of, is_written, last_position, transact


def stream_of(name: str) -> str:
    """Return the id of a schedule's stream."""
    return f"{CATEGORY}-{name}"


def timetable_in(state: ScheduleState) -> CronTimetable:
    """Return a schedule's recorded times. Raises `DefinitionError` if they cannot be computed here."""
    declaration = state.declaration
    assert declaration is not None  # noqa: S101 -- a schedule without one is not found
    return timetable_of(declaration.cron, declaration.timezone)


def coming_ticks(state: ScheduleState, now: datetime) -> Iterator[datetime]:
    """Return the next ticks of a schedule's times, whether it is paused or not. Raises as `timetable_in` does."""
    return timetable_in(state).after(now if state.decided_through is None else max(now, state.decided_through))


class ScheduleStreams:
    """The schedules of one ledger, through a cache of their streams. Belongs to one thread.

    Raises `DefinitionError` if the app uses the names of their streams or events for something else.
    """

    def __init__(self, context: LedgerContext) -> None:
        if context.app.participant_of(CATALOG) is not SCHEDULE_CATALOG:
            raise DefinitionError(
                f"the app in use has streams {CATEGORY!r}-…, or events named as those of schedules: use another app, "
                "or none"
            )
        self.context = context
        self.cache = StreamCache(context.app, context.backend, context.codec)

    def names(self) -> Sequence[str]:
        """Return the names of the ledger's schedules, in order."""
        return sorted(cast("tuple[str, ...]", self._read([CATALOG])[CATALOG]))

    def states(self, names: Sequence[str]) -> Mapping[str, ScheduleState]:
        """Return the newest states of schedules, by name. Raises `UnreadableEvent`."""
        read = self._read([stream_of(name) for name in names])
        return {name: cast("ScheduleState", read[stream_of(name)]) for name in names}

    def state(self, name: str) -> ScheduleState:
        """Return the newest state of a schedule. Raises `ScheduleNotFound`."""
        state = self.states([name])[name]
        if state.declaration is None:
            raise ScheduleNotFound(name)
        return state

    def version(self, name: str) -> int:
        """Return how many events a schedule has. Raises `ScheduleNotFound`."""
        self.state(name)
        known = self.cache.known(stream_of(name))
        return 0 if known is None else known.version

    def append(
        self, name: str, commands: Sequence[Command], *, actor: str | None = None, at: datetime | None = None
    ) -> int | None:
        """Append what commands to a schedule lead to; return the position of the last event, or None without one.

        Raises what deciding them raises, and `TooContended`.
        """
        stream_id = stream_of(name)

        def decide(_: int) -> AppendCall | None:
            build = partial(self._draft, stream_id, commands, Meta(actor=actor), at or self.context.clock.now())
            [draft] = self.cache.build([build])
            return call_of([draft.append()]) if draft.events else None

        self.cache.evict([stream_id, CATALOG])
        try:
            receipt = transact(self.context, decide, what=f"schedule {name!r}", stream_cache=self.cache)
        finally:
            self.cache.evict([stream_id, CATALOG])
        return None if receipt is None else last_position(receipt)

    def append_once(self, build: Callable[[], AppendBuilder], due: QueueEntry | None = None) -> bool:
        """Append what is built on the states as they were last read; return False if others wrote to them since."""
        [draft] = self.cache.build([build])
        self.cache.stage(draft.overlay)
        written = False
        try:
            written = is_written(self.context.backend.append(call_of([draft.append(due)])))
        finally:
            if written:
                self.cache.confirm(draft.overlay)
            else:
                self.cache.evict_all()
        return written

    def draft(self, name: str, commands: Sequence[Command], at: datetime) -> AppendBuilder:
        """Return the draft of an append of what commands to a schedule lead to."""
        return self._draft(stream_of(name), commands, Meta(), at)

    def _draft(self, stream_id: str, commands: Sequence[Command], meta: Meta, at: datetime) -> AppendBuilder:
        draft = self.cache.draft(stream_id, meta)
        draft.handle(commands, at, beginning=True)
        return draft

    def _read(self, stream_ids: Sequence[str]) -> Mapping[str, object]:
        """Return the newest states of streams."""
        self.cache.evict(stream_ids)
        [found] = self.cache.build([partial(self._known, stream_ids)])
        return found

    def _known(self, stream_ids: Sequence[str]) -> Mapping[str, object]:
        known = {stream_id: self.cache.known(stream_id) for stream_id in stream_ids}
        missing = {stream_id for stream_id, cached in known.items() if cached is None}
        if missing:
            raise self.cache.missing(missing)
        return {stream_id: cached.state for stream_id, cached in known.items() if cached is not None}
