"""Declaring a schedule: which saga starts, at which times, with which input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from ...domain.errors import DefinitionError, SagaledgerError
from ...domain.names import PREFIX_BYTES_MAX
from ...domain.saga.duration import check_seconds
from ...domain.saga.functions import must_be_plain, must_return, must_take
from ...domain.saga.saga import Saga
from ...domain.schedule.events import CatchUp, DeclaredSchedule, Overlap, TickCause
from ...domain.schedule.state import PendingTick
from .timetable import timetable_of, zone_of

NAME_CHARACTERS_MAX: Final = 150
"""With it, the key of each tick has at most 200 characters."""


class Tick(Struct, frozen=True):
    """One start of a schedule, as the function `input` sees it."""

    schedule: str
    at: datetime
    """The instant for which it starts, in UTC; of a trigger, when it was asked for. It may be long past."""
    timezone: str
    cause: TickCause = TickCause.TIMETABLE

    @property
    def local(self) -> datetime:
        """The same instant in the schedule's time zone."""
        return self.at.astimezone(zone_of(self.timezone))


class Schedule:
    """A saga that starts by itself, at the times of a cron expression. Register it with `App(schedules=[…])`.

    - `name`: of the schedule, in its ledger; `saga`: what it starts;
    - `cron`: five fields (minute, hour, day of the month, month, day of the week), or six with the seconds first;
    - `timezone`: the zone of these times, such as `Europe/London`;
    - `input`: the input of each saga, or a function that makes it of the `Tick`;
    - `overlap`: what becomes of a tick while the saga of an earlier one still runs: `skip`, `queue` or `allow`;
    - `catch_up`: which ticks start that no worker saw in time: `latest`, `all` (up to 1,000), `none`, or those that are
      no older than a number of seconds.

    The saga's key is `<schedule>@<tick in UTC>`, whatever key its definition makes. Raises `DefinitionError`.
    """

    def __init__(
        self,
        name: str,
        saga: Saga[Any],
        *,
        cron: str,
        timezone: str = "UTC",
        input: Any = None,  # noqa: A002 -- it is the saga's input, and is called so there
        overlap: Overlap | str = Overlap.SKIP,
        catch_up: CatchUp | str | float | timedelta = CatchUp.LATEST,
    ) -> None:
        _check_name(name)
        where = f"schedule {name!r}"
        if not isinstance(saga, Saga):
            raise DefinitionError(f"{where}: its saga must be a Saga, and is {saga!r}")
        if not isinstance(timezone, str):
            raise DefinitionError(f"{where}: the time zone must be a text, and is {timezone!r}")
        try:
            timetable = timetable_of(cron, timezone)
        except DefinitionError as error:
            raise DefinitionError(f"{where}: {error}") from error
        if next(timetable.after(datetime.now(UTC)), None) is None:
            raise DefinitionError(f"{where}: the cron expression {cron!r} has no time in the next years: correct it")
        if callable(input):
            must_take(input, 1, "the tick", f"{where}: input")
            must_return(input, f"{where}: input")
            must_be_plain(input, f"{where}: input", "it only returns the input of a saga")
        self.name = name
        self.saga = saga
        self.cron = cron
        self.timezone = timezone
        self.overlap = _one_of(Overlap, overlap, f"{where}: overlap")
        self.catch_up, self.catch_up_seconds = _catch_up(catch_up, f"{where}: catch_up")
        self._input = input

    @property
    def declaration(self) -> DeclaredSchedule:
        """What is recorded of it."""
        return DeclaredSchedule(
            " ".join(self.cron.split()),
            self.timezone,
            self.saga.name,
            self.saga.version,
            self.overlap,
            self.catch_up,
            self.catch_up_seconds,
        )

    def check_input(self) -> None:
        """Raise `DefinitionError` if its input is a value that does not fit its saga."""
        if callable(self._input):
            return
        try:
            self.saga.definition.write_input(self._input)
        except DefinitionError:
            raise
        except SagaledgerError as error:
            raise DefinitionError(f"schedule {self.name!r}: {error}; give its `input`, or a function of it") from error

    def input_for(self, tick: PendingTick, timezone: str) -> Any:
        """Returns the input of the saga of a tick. Raises whatever the app's function does."""
        value = self._input
        return value(Tick(self.name, tick.at, timezone, tick.cause)) if callable(value) else value


def key_of(schedule: str, tick: PendingTick) -> str:
    """Returns the key of the saga of a tick: of the instant, or of the trigger's number."""
    if tick.number is not None:
        return f"{schedule}@trigger-{tick.number}"
    return f"{schedule}@{tick.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise DefinitionError(f"schedule name {name!r}: use 1 to {NAME_CHARACTERS_MAX} printable characters")
    if len(name.encode()) > PREFIX_BYTES_MAX:
        raise DefinitionError(f"schedule name {name!r}: use at most {PREFIX_BYTES_MAX} bytes")


def _one_of(options: type[Overlap], value: Any, where: str) -> Overlap:
    try:
        return options(value)
    except ValueError:
        raise DefinitionError(f"{where}={value!r}: use {' or '.join(repr(str(each)) for each in options)}") from None


def _catch_up(value: Any, where: str) -> tuple[CatchUp, float | None]:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, str):
        if value in (CatchUp.NONE, CatchUp.LATEST, CatchUp.ALL):
            return CatchUp(value), None
    elif value is not None and not isinstance(value, bool):
        check_seconds(value, where)
        return CatchUp.WITHIN, float(value)
    raise DefinitionError(f"{where}={value!r}: use 'none', 'latest', 'all', or a number of seconds")
