"""Building one append: a saga's events, and the events of participants that its commands lead to.

Commands are decided on the cached state of the participants' streams. Nothing is sent here, and no state is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from ...domain.errors import DefinitionError, PayloadTooLarge, StepRejected
from ...domain.event import Event
from ...domain.participant import Command, Participant, Refused
from ..event_store.append_call import Append
from ..event_store.codec import Codec, Envelope
from ..event_store.event_row import NewEvent
from ..event_store.stream_id import check_stream_id
from ..event_store.work_queue import QueueEntry
from .app import App

STEP_EVENTS_MAX = 2_000
"""A transition has up to three such parts (a start, a step, an end), and one append call takes 10,000 events."""
STEP_BYTES_MAX = 8 * 1024 * 1024


class CachedState(NamedTuple):
    """A participant stream's last version, and its state there, as far as this process knows."""

    version: int
    state: Any


class NotDecidableYet(Exception):
    """A draft cannot be decided yet; `StreamCache.build` handles it."""


class StreamsMissing(NotDecidableYet):
    """A draft needs participants' streams that have to be read first."""

    def __init__(self, stream_ids: set[str]) -> None:
        super().__init__(f"streams to load: {sorted(stream_ids)}")
        self.stream_ids = stream_ids


class StreamsUnsettled(NotDecidableYet):
    """A draft rests on streams that other drafts write to, without writing there itself: nothing would conflict."""


class StreamStates(Protocol):
    """What commands are decided on: the states of participants' streams."""

    app: App
    codec: Codec

    def known(self, stream_id: str) -> CachedState | None:
        """A stream's cached state, if there is one. Raises `UnreadableEvent` if the stream could not be read."""
        ...

    def require_fresh(self, stream_ids: set[str]) -> None:
        """Check streams that a decision rests on without writing to them. Raises `NotDecidableYet`."""
        ...

    def missing(self, stream_ids: set[str]) -> StreamsMissing | DefinitionError:
        """What a draft raises that needs these streams first: an error, if it asks for others each time."""
        ...


class AppendBuilder(Struct, eq=False):
    """An append being built: its events in order, and the participants' states after them."""

    streams: StreamStates
    correlation_id: str
    envelope: Envelope
    events: list[NewEvent] = []
    overlay: dict[str, CachedState] = {}
    size_bytes: int = 0
    last_own: int | None = None
    """The index of the latest event of the process's own stream."""

    def record(self, version: int, event: Event) -> None:
        """Add an event of the process itself, to its own stream."""
        new = self.envelope.encode(self.correlation_id, version, event)
        events = self.events
        self.last_own = len(events)
        events.append(new)
        self.size_bytes += len(new.state)

    def handle(self, commands: Sequence[Command], at: datetime, *, beginning: bool = False) -> int:
        """Decide commands one after the other and add their events; returns how many.

        All or nothing: when a participant raises `Refused`, only the events of the refusal are added; with `beginning`
        not even those, because nothing begins. Raises `StreamsMissing` when a stream has to be read first, and
        `InvalidInput` for a key that no backend can store.
        """
        if not commands:
            return 0
        self._require(commands)
        overlay: dict[str, CachedState] = {}
        decided: list[NewEvent] = []
        for command in commands:
            participant = self.streams.app.participant_for(command)
            stream_id = participant.stream_of(command)
            version, state = overlay.get(stream_id) or self._known(stream_id)
            try:
                events = participant.decided(state, command, at)
            except StepRejected as refusal:
                self._refuse(participant, stream_id, refusal, recorded=not beginning)
                raise
            for event in events:
                version += 1
                new, read = self.envelope.encode_given(stream_id, version, event)
                state = participant.evolved(state, read)
                decided.append(new)
            overlay[stream_id] = CachedState(version, state)
        self.streams.require_fresh(overlay.keys() - {new.stream_id for new in decided} - self._written)
        self._add_all(decided)
        self.overlay |= overlay
        return len(decided)

    def append(self, due: QueueEntry | None = None) -> Append:
        """The append, ready to be sent."""
        return Append(self.events, due)

    def _refuse(self, participant: Participant[Any], stream_id: str, refusal: StepRejected, *, recorded: bool) -> None:
        """Add the events of a refusal; a refusal without events must rest on the stream's newest state."""
        events = refusal.events if recorded and isinstance(refusal, Refused) else ()
        if not events:
            self.streams.require_fresh({stream_id} - self._written)
        version, state = self._known(stream_id)
        added: list[NewEvent] = []
        for event in events:
            version += 1
            new, read = self.envelope.encode_given(stream_id, version, event)
            state = participant.evolved(state, read)
            added.append(new)
        self._add_all(added)
        self.overlay[stream_id] = CachedState(version, state)

    @property
    def _written(self) -> set[str]:
        return {new.stream_id for new in self.events}

    def _add_all(self, added: Sequence[NewEvent]) -> None:
        """Add the events of one step. Raises `PayloadTooLarge`, and `DefinitionError` if there are too many."""
        if len(added) > STEP_EVENTS_MAX:
            raise DefinitionError(f"one step records {len(added):,} events, of {STEP_EVENTS_MAX:,} it may: divide it")
        size_bytes = sum(len(new.state) for new in added)
        if size_bytes > STEP_BYTES_MAX:
            raise PayloadTooLarge("what one step records", size_bytes, STEP_BYTES_MAX)
        self.events += added
        self.size_bytes += size_bytes

    def _known(self, stream_id: str) -> CachedState:
        known = self.overlay.get(stream_id) or self.streams.known(stream_id)
        if known is None:
            raise self.streams.missing({stream_id})
        return known

    def _require(self, commands: Sequence[Command]) -> None:
        app = self.streams.app
        streams = {app.participant_for(command).stream_of(command) for command in commands}
        missing = {s for s in streams if s not in self.overlay and self.streams.known(s) is None}
        for stream_id in missing:
            check_stream_id(stream_id, "the participant's stream")
        if missing:
            raise self.streams.missing(missing)
