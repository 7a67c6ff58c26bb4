"""A moment of the past has one notation and one meaning, whatever is read at it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.event import Event
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import Effect, SagaStarted, StepFailed, StepStarted, StepSucceeded
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.shop.order import OrderCancelled
from sagaledger.infrastructure.errors import SagaNotFound
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.moment import Moment, SagaMoment
from sagaledger.infrastructure.ledger.possible_actions import ActionName
from sagaledger.infrastructure.ledger.saga_overview import SagaOverview, saga_overview
from sagaledger.infrastructure.runtime.clock import SYSTEM_CLOCK
from sagaledger.infrastructure.shop.app import APP

from ..read_models.saga_events import BY_TYPE
from ..read_models.shop import OPENING, Entry, Shop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EARLIEST, LATEST = datetime.min + timedelta(days=2), datetime.max - timedelta(days=2)  # noqa: DTZ901
"""Without a zone; in any zone, such a time is within the calendar."""
_NUMBERS = count(1)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


# The notation


@given(
    st.one_of(
        st.builds(lambda n: Moment(position=n), st.integers(0, 2**63)),
        st.builds(lambda n: Moment(version=n), st.integers(1, 2**63)),
        st.builds(lambda t: Moment(time=t), st.datetimes(timezones=st.just(UTC))),
    )
)
def test_the_text_of_a_moment_is_read_as_that_moment(moment: Moment) -> None:
    """So what an answer says of its moment can be asked again."""
    assert Moment.read(str(moment), NOW) == moment


@given(st.integers(0, 999_999), st.sampled_from(sorted(_SECONDS)))
def test_so_long_ago_is_relative_to_now(number: int, unit: str) -> None:
    """The first time of the calendar is as long ago as can be."""
    expected = max(NOW.timestamp() - number * _SECONDS[unit], datetime.min.replace(tzinfo=UTC).timestamp())
    assert Moment.read(f"{number}{unit}", NOW) == Moment(time=datetime.fromtimestamp(0, UTC) + timedelta(0, expected))


@given(st.datetimes(EARLIEST, LATEST), st.integers(-14 * 60, 14 * 60))
def test_a_time_is_in_utc_unless_it_has_an_offset(time: datetime, minutes: int) -> None:
    """Every form of it names one instant."""
    zone = timezone(timedelta(minutes=minutes))
    assert Moment.read(time.isoformat(), NOW) == Moment(time=time) == Moment(time=time.replace(tzinfo=UTC))
    assert Moment.read(time.replace(tzinfo=zone).isoformat(), NOW) == Moment(time=time.replace(tzinfo=zone))
    assert Moment.read(time.date().isoformat(), NOW) == Moment(
        time=time.replace(hour=0, minute=0, second=0, microsecond=0)
    )


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[@v]?[0-9]{0,40}[smhdwTZ:+-]?", fullmatch=True)))
def test_any_other_text_is_refused(text: str) -> None:
    """There is no other error; and what is read has a text of its own, which means the same."""
    try:
        moment = Moment.read(text, NOW)
    except InvalidInput:
        return
    assert Moment.read(str(moment), NOW) == moment


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("4", "4 alone is no moment: write @4 for a position of the log, v4 for a version of a saga"),
        ("20260301", "write @20260301 for a position"),
        ("v0", "a version is a whole number from 1 on, and 0 is not"),
        ("V4", "'V4' is no moment: write it as v14"),
        ("@-1", "'@-1' is no moment"),
        ("@1 000", "'@1 000' is no moment"),
        ("7y", "'7y' is no moment"),
        ("2026-02-30", "'2026-02-30' is no moment"),
        ("0001-01-01T00:00:00+14:00", "is no moment"),
        ("", "'' is no moment"),
    ],
)
def test_a_text_that_is_nearly_a_moment_says_what_it_lacks(text: str, problem: str) -> None:
    """A bare number was a version in one place and a position in another."""
    with pytest.raises(InvalidInput) as caught:
        Moment.read(text, NOW)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [{}, {"position": 1, "version": 1}, {"position": -1}, {"version": 0}, {"position": True}, {"position": "4"}],
)
def test_a_moment_is_exactly_one_of_its_three_parts(parts: dict[str, int]) -> None:
    """What is no moment is refused where it is made."""
    with pytest.raises(InvalidInput):
        Moment(**parts)


# The meaning


@pytest.fixture
def shop_ledger(log: Backend) -> Ledger:
    """A shop's ledger; the fixture of the log closes it."""
    return Ledger(log, APP)


def _events(count_max: int) -> st.SearchStrategy[list[tuple[int, Event | None]]]:
    """Events of three sagas, in any order, each with the number of its saga; None stands for a participant's event."""
    event = st.one_of(st.none(), *(made for type_, made in BY_TYPE.items() if type_.__name__ != "ConformanceViolation"))
    return st.lists(st.tuples(st.integers(0, 2), event), max_size=count_max)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_events(16), st.integers(1, 5))
def test_the_state_at_every_position_is_the_fold_of_the_events_up_to_it(
    log: Backend, shop_ledger: Ledger, events: list[tuple[int, Event | None]], append_size: int
) -> None:
    """So is the history the events up to it; and a version, and a time, mean the position that they stand for."""
    sagas = [f"fulfil_order-{next(_NUMBERS)}" for _ in range(3)]
    entries: list[Entry] = [(sagas[0], sagas[0], SagaStarted(OPENING, "fulfil_order", 1, "f1", Raw(b"{}")))]
    begun = {sagas[0]}
    for number, event in events:
        saga_id = sagas[number]
        if saga_id not in begun:
            begun.add(saga_id)
            entries.append((saga_id, saga_id, SagaStarted(OPENING, "fulfil_order", 1, "f1", Raw(b"{}"))))
        elif event is None:
            entries.append((f"order-{saga_id}", saga_id, OrderCancelled(OPENING, saga_id, "no")))
        else:
            entries.append((saga_id, saga_id, event))
    before, shop = log.head().position, Shop(log)
    for at in range(0, len(entries), append_size):
        shop.write(entries[at : at + append_size])
    recorded = [shop_ledger.context.codec.decode(row) for row in log.read(before, limit=1_000)]

    for position in range(before, before + len(recorded) + 1):
        until = [each for each in recorded if each.position <= position]
        for saga_id in begun:
            own = [each for each in until if each.stream_id == saga_id]
            if not own:
                with pytest.raises(SagaNotFound, match=f"at @{position} it had not begun; it began at .*, position @"):
                    shop_ledger.state(saga_id, at=f"@{position}")
                continue
            folded = rebuild(saga_id, (each.event for each in own))
            assert shop_ledger.state(saga_id, at=f"@{position}") == folded
            if own[-1].position == position:
                assert shop_ledger.state(saga_id, at=f"v{own[-1].version}") == folded
                assert shop_ledger.history(saga_id, at=Moment(position=position)) == [
                    each for each in until if each.correlation_id == saga_id
                ]
                same_time = [each for each in recorded if each.recorded_at <= own[-1].recorded_at]
                assert shop_ledger.history(saga_id, at=own[-1].recorded_at) == [
                    each for each in same_time if each.correlation_id == saga_id
                ]


def test_the_past_says_what_was_and_not_what_can_be_done_now(log: Backend, shop_ledger: Ledger) -> None:
    """It has the attempts of then, and the failure that stood then."""
    saga_id = f"fulfil_order-{next(_NUMBERS)}"
    started = SagaStarted(OPENING, "fulfil_order", 1, "f1", Raw(b"{}"))
    failed = StepFailed(OPENING, "pay", 1, Failure("OSError", "away"), Effect.UNKNOWN, True, OPENING)
    done = StepSucceeded(OPENING, "pay", 2, Raw(b"null"))
    history = [started, StepStarted(OPENING, "pay", 1, "k"), failed, StepStarted(OPENING, "pay", 2, "k"), done]
    Shop(log).write([(saga_id, saga_id, event) for event in history])

    now = saga_overview(shop_ledger.context, saga_id)
    then = saga_overview(shop_ledger.context, saga_id, Moment(version=3))

    assert isinstance(now, SagaOverview)
    assert isinstance(then, SagaOverview)
    assert (len(now.attempts), now.failed_step, now.error, now.then, now.unattended) == (2, None, None, None, True)
    assert (len(then.attempts), then.failed_step, then.error) == (1, "pay", "OSError: away")
    assert (then.then, then.actions, then.unattended) == (SagaMoment(then.events[-1].position, 3, 5), [], False)
    assert {action.name for action in now.actions} == {ActionName.CANCEL}


def test_a_time_to_come_is_none_unless_the_log_has_come_to_it(log: Backend) -> None:
    """The clock of the database may be ahead of that of the reader."""
    Shop(log).write([("fulfil_order-x", "fulfil_order-x", SagaStarted(OPENING, "fulfil_order", 1, "f1", Raw(b"{}")))])
    recorded_at = log.head().recorded_at
    assert recorded_at is not None
    behind = Ledger(log, APP, clock=SYSTEM_CLOCK._replace(now=lambda: recorded_at - timedelta(hours=1)))

    assert behind.state("fulfil_order-x", at=recorded_at).version == 1
    later = recorded_at + timedelta(microseconds=1)
    with pytest.raises(InvalidInput, match=r"is in the future: now it is .* only the past can be read"):
        behind.state("fulfil_order-x", at=Moment(time=later))
    with pytest.raises(InvalidInput, match=r"is in the future: now it is .* only the past can be read"):
        behind.state("fulfil_order-x", at=later.isoformat())
    assert behind.state("fulfil_order-x", at=later).version == 1, "a program computes with times"
    with pytest.raises(InvalidInput, match="v2 is beyond the end of saga 'fulfil_order-x': its last version is v1"):
        behind.state("fulfil_order-x", at="v2")
