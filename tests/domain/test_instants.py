"""Every instant that an event holds can be converted to UTC, also at the ends of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.event import Event, Registry, event
from sagaledger.domain.instants import EARLIEST, LATEST, in_utc
from sagaledger.infrastructure.event_store.instants import checked_in_utc

BEFORE = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
AFTER = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12)))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Leg(Struct, frozen=True):
    """A part of a journey, which may have parts."""

    leaves_at: datetime
    note: str = ""
    parts: tuple[Leg, ...] = ()


@event("JourneyPlanned")
class JourneyPlanned(Event, frozen=True):
    """Has times at every depth."""

    first: Leg | None = None
    stops: list[datetime] = []  # noqa: RUF012  # msgspec copies an empty default
    by_name: dict[str, Leg] = {}  # noqa: RUF012
    local: datetime | None = None
    untouched: msgspec.Raw = msgspec.Raw(b"null")


@pytest.mark.parametrize(
    ("instant", "utc"),
    [
        (NOON, NOON),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=45))), NOON),
        (NOON.replace(tzinfo=None), NOON),
        (BEFORE, EARLIEST),
        (AFTER, LATEST),
        (EARLIEST, EARLIEST),
        (LATEST, LATEST),
    ],
)
def test_any_time_is_in_utc_or_nearest_to_it(instant: datetime, utc: datetime) -> None:
    """A time without a zone is read as UTC."""
    assert in_utc(instant) == utc
    assert in_utc(instant).tzinfo is UTC


@pytest.mark.parametrize("field", ["at", "first", "part", "stops", "by_name"])
@pytest.mark.parametrize(("recorded", "read"), [(BEFORE, EARLIEST), (AFTER, LATEST)])
def test_an_event_is_read_with_times_that_utc_can_hold(field: str, recorded: datetime, read: datetime) -> None:
    """Wherever in the event they stand."""

    def planned(at: datetime) -> JourneyPlanned:
        fields: dict[str, Any] = {
            "at": {"at": at},
            "first": {"at": NOON, "first": Leg(at)},
            "part": {"at": NOON, "first": Leg(NOON, parts=(Leg(NOON), Leg(at)))},
            "stops": {"at": NOON, "stops": [NOON, at]},
            "by_name": {"at": NOON, "by_name": {"a": Leg(at)}},
        }[field]
        return JourneyPlanned(**fields)

    registry = Registry([JourneyPlanned])

    decoded = registry.decode("JourneyPlanned", 1, registry.encode(planned(recorded)))

    assert decoded == planned(read)
    assert registry.encode(decoded) == registry.encode(planned(read))


def test_everything_else_in_an_event_is_read_as_it_was_recorded() -> None:
    """Other zones, times without a zone, text that looks like a time, and raw values."""
    text = BEFORE.isoformat()
    recorded = JourneyPlanned(
        NOON.astimezone(timezone(timedelta(hours=2))),
        Leg(NOON.astimezone(timezone(timedelta(hours=-3))), text),
        local=datetime(2026, 1, 1),  # noqa: DTZ001  # what a user's event may hold
        untouched=msgspec.Raw(msgspec.json.encode(text)),
    )
    registry = Registry([JourneyPlanned])

    decoded = registry.decode("JourneyPlanned", 1, registry.encode(recorded))

    assert registry.encode(decoded) == registry.encode(recorded)


@pytest.mark.parametrize("instant", [BEFORE, AFTER])
def test_a_time_that_utc_cannot_hold_is_refused_where_it_is_given(instant: datetime) -> None:
    """The message names it."""
    with pytest.raises(InvalidInput, match=r"begins_at is .*, outside of the years 1 to 9999 in UTC"):
        checked_in_utc(instant, "begins_at")
