"""Moments: when a reader of the past looks. One notation, for the command line and for programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from ...domain.errors import InvalidInput
from ..errors import SagaNotFound
from ..event_store.event_log import Head
from ..event_store.instants import checked_in_utc
from ..read_models.relative_time import long_before, time_before
from .context import LedgerContext

_OF_THE_LOG: Final = (
    "@1897 (a position of the log), 2026-03-01 or 2026-03-01T02:17:05Z (a time, in UTC without an offset), or 7d (so "
    "long ago: s, m, h, d, w)"
)
HOW_TO_WRITE: Final = f"write it as v14 (a version of one saga), {_OF_THE_LOG}"
_NUMBERED: Final = re.compile(r"([@v])([0-9]{1,30})")
_ONLY_DIGITS: Final = re.compile(r"[0-9]{1,30}")
_TEXT_SHOWN: Final = 100


class Moment(Struct, frozen=True):
    """A moment in a ledger's past: a position of the log, a version of one saga, or a time. Exactly one is given.

    Whatever reads the past takes a moment as `at`, or a text, a `datetime` or a `timedelta` that means one:

    - `@1897`, `Moment(position=1897)`: after the event at that position of the log; `@0` is before the first event;
    - `v14`, `Moment(version=14)`: after the saga's own 14th event; only where one saga is read;
    - `2026-03-01T02:17:05Z`, a `datetime`: after every event that the log recorded up to that time, by the database's
      clock. A time without an offset is in UTC, and a date is the time at which it begins;
    - `7d`, a `timedelta`: so long ago (`s`, `m`, `h`, `d`, `w`).

    Only what has been is a moment: a position beyond the head, a version beyond the saga's last, or a time in the
    future is refused with `InvalidInput`, and a moment before a saga began with `SagaNotFound`, which says when it
    began. A time before the ledger's first event is a moment: nothing was recorded then. A `datetime` may be in the
    future, since clocks differ and programs compute with times: it means all that is recorded so far.
    """

    position: int | None = None
    version: int | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidInput` unless one of the three is given, and can be."""
        if sum(part is not None for part in (self.position, self.version, self.time)) != 1:
            raise InvalidInput("a moment is a position, a version or a time: give Moment exactly one of them")
        _check_number("position", self.position, 0)
        _check_number("version", self.version, 1)
        if self.time is not None:
            force_setattr(self, "time", checked_in_utc(self.time, "a moment's time").astimezone(UTC))

    @classmethod
    def read(cls, text: str, now: datetime) -> Self:
        """Read the text of a moment; one that says how long ago it was, relative to now. Raises `InvalidInput`."""
        text = text.strip()
        numbered = _NUMBERED.fullmatch(text)
        if numbered is not None:
            number = int(numbered[2])
            return cls(position=number) if numbered[1] == "@" else cls(version=number)
        if _ONLY_DIGITS.fullmatch(text):
            raise InvalidInput(
                f"{text} alone is no moment: write @{text} for a position of the log, v{text} for a version of a saga"
            )
        relative = time_before(text, now)
        if relative is not None:
            return cls(time=relative)
        try:
            return cls(time=datetime.fromisoformat(text))
        except (ValueError, InvalidInput) as error:
            raise InvalidInput(f"{text[:_TEXT_SHOWN]!r} is no moment: {HOW_TO_WRITE}") from error

    def __str__(self) -> str:
        """The text that `read` reads as this moment."""
        if self.time is not None:
            return instant_text(self.time)
        return f"v{self.version}" if self.position is None else f"@{self.position}"


AnyMoment: TypeAlias = Moment | str | datetime | timedelta
"""What is accepted as a moment."""


class InLog(Protocol):
    """An event that was read from the log."""

    @property
    def position(self) -> int:
        """Its position in the log."""
        ...

    @property
    def stream_id(self) -> str:
        """The stream in which it stands."""
        ...

    @property
    def version(self) -> int:
        """Its version in that stream."""
        ...

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded."""
        ...


class SagaMoment(NamedTuple):
    """A moment of one saga."""

    position: int
    """The position up to which the log had events."""
    version: int
    """How many events of its own the saga had."""
    versions: int
    """How many it has now."""

    def includes(self, saga_id: str, recorded: InLog) -> bool:
        """Whether an event of the saga, of its participants or of its sub-sagas had been recorded by then.

        The events of a choreographed saga are derived, and several of them may have one position.
        """
        if recorded.stream_id == saga_id:
            return recorded.version <= self.version
        return recorded.position <= self.position


def moment_of(context: LedgerContext, at: AnyMoment) -> Moment:
    """Return the moment that is meant. Raises `InvalidInput` for what means none."""
    match at:
        case Moment():
            return at
        case str():
            return Moment.read(at, context.clock.now())
        case datetime():
            return _computed(context, Moment(time=at))
        case timedelta():
            return Moment(time=long_before(at, context.clock.now()))
    raise InvalidInput(
        f"{at!r} is no moment: pass a datetime, a timedelta (so long ago), or a text, and {HOW_TO_WRITE}"
    )


def position_of(context: LedgerContext, at: Moment) -> int:
    """Return the position that the log had reached at a moment.

    Raises `InvalidInput` for a position or a time that the log has not reached, and for a version, which is one saga's.
    """
    if at.version is not None:
        raise InvalidInput(f"{at} is a version of one saga, and this is about the whole log: give {_OF_THE_LOG}")
    head = context.backend.head()
    if at.time is None:
        position = at.position or 0
        if position > head.position:
            raise InvalidInput(f"{at} is beyond the end of the log: its last position is @{head.position}")
        return position
    now = context.clock.now()
    if _is_to_come(at.time, now, head):
        raise InvalidInput(f"{at} is in the future: now it is {instant_text(now)}, and only the past can be read")
    return context.backend.position_at(at.time)


def _computed(context: LedgerContext, at: Moment) -> Moment:
    """Return the moment of a time that a program computed: one to come means all that is recorded so far."""
    head = context.backend.head()
    to_come = at.time is not None and _is_to_come(at.time, context.clock.now(), head)
    return Moment(position=head.position) if to_come else at


def _is_to_come(time: datetime, now: datetime, head: Head) -> bool:
    """Whether neither this machine's clock nor that of the log's last event has reached a time."""
    return time > now and (head.recorded_at is None or time > head.recorded_at)


def saga_moment(context: LedgerContext, saga_id: str, own: Sequence[InLog], at: Moment) -> SagaMoment:
    """Return what a moment is for a saga that has these events of its own.

    Raises what `position_of` does, `InvalidInput` for a version that the saga has not reached, and `SagaNotFound` for a
    moment before it began.
    """
    if at.version is not None:
        if at.version > len(own):
            raise InvalidInput(
                f"{at} is beyond the end of saga {saga_id!r}: its last version is v{len(own)}, and @{at.version} would "
                "be a position of the log"
            )
        return SagaMoment(own[at.version - 1].position, at.version, len(own))
    position = position_of(context, at)
    version = sum(recorded.position <= position for recorded in own)
    if version == 0:
        begun = own[0]
        raise SagaNotFound(
            saga_id,
            f"at {at} it had not begun; it began at {instant_text(begun.recorded_at)}, position @{begun.position}",
        )
    return SagaMoment(position, version, len(own))


def recorded_at(context: LedgerContext, position: int) -> datetime | None:
    """Return when the event at a position of the log was recorded; None for position 0."""
    return context.backend.read(position - 1, limit=1)[0].recorded_at if position > 0 else None


def instant_text(instant: datetime) -> str:
    """Return an instant to the microsecond in UTC."""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _check_number(what: str, value: Any, least: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise InvalidInput(f"a {what} is a whole number from {least} on, and {value!r} is not")
