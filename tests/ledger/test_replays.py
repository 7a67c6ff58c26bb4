"""Replaying histories in tests of one's own sagas: from a file, from a ledger, from a rehearsal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagaledger import (
    App,
    InvalidInput,
    Ledger,
    RecordedSaga,
    Saga,
    assert_replays,
    load_histories,
    rehearse,
    save_histories,
)
from sagaledger.infrastructure.ledger import compatibility

from ..worker.conftest import play, worker_on


def nothing(*_: Any) -> None:
    """An action, or a compensation."""


hotel = Saga("hotel", input=int)
hotel.step(name="room", compensable=False)(nothing)


def trip(*names: str, version: int = 1) -> Saga[int]:
    saga = Saga("trip", version=version, input=int)
    for name in names:
        saga.step(name=name, compensable=False)(nothing)
    saga.sub_saga(hotel, name="stay", compensable=False)(lambda value, _: value)
    return saga


def recorded(url: str, *sagas: Saga[int]) -> Ledger:
    """A ledger in which each of these sagas has run."""
    ledger = Ledger.open(url, App(sagas=sagas), create=True)

    async def scene() -> None:
        async with worker_on(ledger) as worker:
            for saga in sagas:
                await worker.outcome(ledger.start(saga, 7, key=f"v{saga.version}", version=saga.version).saga_id)

    play(scene())
    return ledger


def test_a_changed_saga_is_replayed_against_a_file_of_histories(sqlite_url: str, tmp_path: Path) -> None:
    """Of the file, the histories of this saga and version count; a change that decides otherwise fails the test."""
    path = tmp_path / "histories.jsonl"
    with recorded(sqlite_url, trip("a", "b"), trip("a", "c", version=2)) as ledger:
        save_histories(path, ledger, ["trip-v1", "trip-v2", "hotel-trip-v1.stay"])

    assert [(each.saga_id, each.definition, each.version) for each in load_histories(path)] == [
        ("trip-v1", "trip", 1),
        ("trip-v2", "trip", 2),
        ("hotel-trip-v1.stay", "hotel", 1),
    ]
    assert_replays(trip("a", "b"), path)
    assert_replays(trip("a", "c", version=2).definition, str(path))
    with pytest.raises(AssertionError, match=r"'trip' version 1 changed: saga 'trip-v1', event 4: recorded is StepSt"):
        assert_replays(trip("a", "x", "b"), path)
    with pytest.raises(AssertionError, match=r"'trip' version 2 changed: saga 'trip-v2'"):
        assert_replays(trip("a", "b", version=2), path)


def test_a_history_may_come_from_anywhere(sqlite_url: str, tmp_path: Path) -> None:
    """A ledger with its sub-sagas and participants, a rehearsal, and what was loaded, as one or as several."""
    saga, changed = trip("a", "b"), trip("b", "a")
    path = tmp_path / "histories.jsonl"
    with recorded(sqlite_url, saga) as ledger:
        history = ledger.history("trip-v1")
        save_histories(path, ledger, ["trip-v1"])
    rehearsed = rehearse(trip("a", "b"), 7).saga_events
    [loaded] = load_histories(path)

    for each in (history, rehearsed, loaded, [loaded], [loaded, loaded]):
        assert_replays(saga, each)
        with pytest.raises(AssertionError, match="changed: saga 'trip-"):
            assert_replays(changed, each)


def test_a_check_stops_when_many_sagas_have_diverged(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many it replayed until then."""
    with recorded(sqlite_url, trip("a", "b"), trip("a", "c", version=2)):
        pass
    with Ledger.open(sqlite_url, App(sagas=[trip("x"), trip("x", version=2)])) as ledger:
        found = compatibility.check_compatibility(ledger.context, replays=None)
        assert (found.replayed, len(found.divergences)) == (4, 2)

        monkeypatch.setattr(compatibility, "DIVERGENCES_MAX", 1)
        found = compatibility.check_compatibility(ledger.context, replays=None)

    assert len(found.divergences) == 1
    assert found.replayed < 4


def test_a_test_without_a_history_fails(tmp_path: Path) -> None:
    """It would prove nothing; a file that has something else is named with the line."""
    path = tmp_path / "histories.jsonl"
    path.write_text("\n")
    with pytest.raises(
        AssertionError, match="no history of saga 'trip' version 1 to replay: there are those of no saga"
    ):
        assert_replays(trip("a"), path)
    with pytest.raises(AssertionError, match="there are those of other version 3"):
        assert_replays(trip("a"), [RecordedSaga("other-1", "other", 3, [])])

    path.write_text('{"saga_id": "trip-1", "events": []}\n')
    with pytest.raises(InvalidInput, match="does not begin with the start of a saga"):
        load_histories(path)
    path.write_text('{"saga_id": "trip-1", "events": [{"stream_id": "trip-1", "event": "Nonsense", "data": {}}]}\n')
    with pytest.raises(InvalidInput, match=r"histories\.jsonl, line 1 is no history .* event 'Nonsense'"):
        load_histories(path)
    path.write_text("\n{}\n")
    with pytest.raises(InvalidInput, match=r"histories\.jsonl, line 2 is no history"):
        load_histories(path)
