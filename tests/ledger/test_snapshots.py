"""A snapshot counts only for what it is of: its event, its bytes, and what the participant means by a state."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from sagaledger import App, Command, Event, Participant, event
from sagaledger.domain.recorded_event import Meta
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.event_log import Snapshot
from sagaledger.infrastructure.ledger.code_fingerprint import code_fingerprint
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.participant_snapshots import is_sealed, meaning_in, meaning_of, sealed
from sagaledger.infrastructure.ledger.snapshot_verification import verify_snapshots
from sagaledger.infrastructure.ledger.stream_cache import SNAPSHOT_EVERY_EVENTS, AppendBuilder, StreamCache

from ..edits import edit

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
LONG = SNAPSHOT_EVERY_EVENTS + 5
JAR = "jar-a"


@event("CoinDropped")
class CoinDropped(Event):
    """One coin was dropped into a jar."""

    worth: int


def _to_pence(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "worth": fields["worth"] * 10}


@event("CoinDropped", version=2, upcasters={1: _to_pence})
class CoinDroppedInPence(Event):
    """The same event with its worth in tenths."""

    worth: int


class DropCoin(Command, frozen=True):
    """Drop a coin into a jar."""

    jar: str
    coins: int = 1


def drop_coins(_state: Any, command: DropCoin, at: datetime) -> list[Event]:
    return [CoinDropped(at, 1) for _ in range(command.coins)]


def total(state: int, dropped: Any) -> int:
    return int(state + dropped.worth)


WORTH = {1: 3}


def worth_by_table(state: int, dropped: Any) -> int:
    return int(state + WORTH[dropped.worth])


def double(state: int, dropped: Any) -> int:
    return int(state + 2 * dropped.worth)


def jar(**changes: Any) -> Participant[Any]:
    """The participant, or one that differs from it."""
    parts: dict[str, Any] = {
        "initial": 0,
        "state_type": int,
        "events": [CoinDropped],
        "commands": {DropCoin: lambda command: command.jar},
        "decide": drop_coins,
        "evolve": total,
    }
    return Participant("jar", **{**parts, **changes})


class Recorded:
    """A log that notes after which versions streams were read."""

    def __init__(self, log: Backend) -> None:
        self._log = log
        self.read_after: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def streams(self, after: Sequence[tuple[str, int]]) -> Any:
        self.read_after += [version for _, version in after]
        return self._log.streams(after)


def cache_of(log: Any, participant: Participant[Any]) -> StreamCache:
    app = App(participants=[participant])
    return StreamCache(app, log, LedgerContext(log, app).codec)


def stage(cache: StreamCache, coins: int) -> AppendBuilder:
    """Return the draft of dropping coins, staged."""

    def build() -> AppendBuilder:
        draft = cache.draft("dropping", Meta())
        draft.handle([DropCoin("a", coins)], NOON)
        return draft

    [draft] = cache.build([build])
    cache.stage(draft.overlay)
    return draft


def drop(log: Backend, cache: StreamCache, coins: int) -> None:
    draft = stage(cache, coins)
    (outcome,) = log.append(AppendCall(uuid4(), [Append(draft.events)])).outcomes
    assert isinstance(outcome, Appended)
    cache.confirm(draft.overlay)


def state_read(log: Backend, participant: Participant[Any]) -> tuple[Any, list[int]]:
    """Return the state that a process without a cache decides on, and after which versions it read."""
    recorded = Recorded(log)
    cache = cache_of(recorded, participant)
    stage(cache, 0)
    known = cache.known(JAR)
    assert known is not None
    return known.state, recorded.read_after


@pytest.fixture
def filled(url: str, log: Backend) -> str:
    """The URL of a ledger with a long stream of coins worth 1, and a snapshot of it."""
    cache = cache_of(log, jar())
    drop(log, cache, SNAPSHOT_EVERY_EVENTS - 5)
    drop(log, cache, 5)
    cache.snapshot()
    drop(log, cache, 5)
    return url


def test_a_stream_is_read_from_its_snapshot(filled: str, log: Backend) -> None:
    """The events before it are not read again."""
    assert filled
    assert state_read(log, jar()) == (LONG, [SNAPSHOT_EVERY_EVENTS])


MEANINGS: dict[str, tuple[Participant[Any], Any]] = {
    "its version was raised": (jar(version=2), LONG),
    "evolve changed": (jar(evolve=double), 2 * LONG),
    "evolve is the same with other arguments": (jar(evolve=partial(total)), LONG),
    "an event has a new version with an upcaster": (jar(events=[CoinDroppedInPence]), 10 * LONG),
    "the state has another type": (jar(state_type=float), LONG),
    "the first state is another": (jar(initial=1000), 1000 + LONG),
    "evolve reads another table": (jar(evolve=worth_by_table), 3 * LONG),
}


@pytest.mark.parametrize("change", MEANINGS)
def test_a_snapshot_of_another_meaning_is_not_used(filled: str, log: Backend, change: str) -> None:
    """Also where the state has the same form: the stream is folded from its first event."""
    assert filled
    participant, expected = MEANINGS[change]

    assert state_read(log, participant) == (expected, [0])


def unbounded(_state: Any, _dropped: Any) -> list[Any]:
    return [float("inf")]


def test_a_state_with_a_number_that_json_lacks_is_not_kept(log: Backend, caplog: pytest.LogCaptureFixture) -> None:
    """It would be read as nothing, and decide as that: the stream is folded from its first event."""
    infinite = jar(initial=[1], state_type=list[Any], evolve=unbounded)
    cache = cache_of(log, infinite)
    drop(log, cache, SNAPSHOT_EVERY_EVENTS)
    cache.snapshot()

    assert "no snapshot of jar-a is kept: its state has a number that JSON lacks" in caplog.text
    assert state_read(log, infinite) == ([float("inf")], [0])


FORGERIES = {
    "raised numbers": "state = CAST('99999' AS {bytes})",
    "another version": "version = 499",
    "a version beyond the stream": "version = 1000000",
    "the last version there can be": "version = 9223372036854775807",
    "version 0": "version = 0",
    "a negative version": "version = -7",
    "bytes that are not JSON": "state = CAST('{{' AS {bytes})",
    "nothing": "state = CAST('' AS {bytes})",
    "an altered seal": "schema = schema || '0'",
    "no seal": "schema = 'jar:0123456789abcdef'",
    "an empty schema": "schema = ''",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_snapshot_decides_nothing(filled: str, log: Backend, forgery: str) -> None:
    """Whatever was done to its row, the stream is folded from its first event."""
    assignment = FORGERIES[forgery].format(bytes="BLOB" if filled.startswith("sqlite") else "bytea")
    edit(filled, f"UPDATE snapshots SET {assignment}")  # noqa: S608  # the test's own text

    assert state_read(log, jar()) == (LONG, [0])


def test_bytes_that_are_not_utf_8_decide_nothing(filled: str, log: Backend) -> None:
    """In the state on both backends, and in the column of the schema where SQLite admits them."""
    if filled.startswith("sqlite"):
        for assignment in ("state = x'22ff22'", "schema = CAST(x'6a6172ff' AS TEXT)"):
            edit(filled, f"UPDATE snapshots SET {assignment}")  # noqa: S608  # the test's own text
            assert state_read(log, jar()) == (LONG, [0])
    else:
        edit(filled, r"UPDATE snapshots SET state = '\x22ff22'")
        assert state_read(log, jar()) == (LONG, [0])


def test_a_seal_covers_each_part_of_what_a_snapshot_is_of() -> None:
    """The stream, the version, the event there, the meaning and the state."""
    of_event, of_another = bytes(32), bytes([1]) * 32
    snapshot = sealed(JAR, 5, "jar:0123456789abcdef", b"5", of_event)
    seal = snapshot.schema.rpartition(":")[2]
    assert is_sealed(snapshot, of_event)

    assert not is_sealed(snapshot, of_another)
    for altered in (
        snapshot._replace(stream_id="jar-b"),
        snapshot._replace(version=6),
        snapshot._replace(schema=f"jar:fedcba9876543210:{seal}"),
        snapshot._replace(state=b"6"),
    ):
        assert not is_sealed(altered, of_event)


def sealed_again(
    log: Backend, state: bytes, *, category: str = "jar", version: int = SNAPSHOT_EVERY_EVENTS
) -> Snapshot:
    """Return the snapshot of the jar with another state, category or version, and the seal that goes with it."""
    (snapshot,) = log.snapshots([JAR])
    digest = log.digests([(JAR, version)]).get(JAR, bytes(32))
    meaning = meaning_in(snapshot).replace("jar", category)
    return sealed(JAR, version, meaning, state, digest)


def test_a_sealed_snapshot_without_a_state_costs_its_own_stream_alone(filled: str, log: Backend) -> None:
    """It is folded from its first event; those that are read with it are not."""
    cache = cache_of(log, jar())
    event_of_b = cache.codec.encode("jar-b", 1, CoinDropped(NOON, 1))
    log.append(AppendCall(uuid4(), [Append([event_of_b])]))
    bad = sealed_again(log, b"{")
    of_b = sealed("jar-b", 1, meaning_in(bad), b"1", event_of_b.digest)
    edit(filled, "DELETE FROM snapshots")
    log.put_snapshots([bad, of_b])

    assert cache._snapshots.load([JAR, "jar-b"]) == {"jar-b": (1, 1)}
    assert state_read(log, jar()) == (LONG, [0])


VERIFIED: dict[str, tuple[Callable[[Backend], Snapshot], str | None]] = {
    "as it was written": (lambda log: sealed_again(log, b"500"), None),
    "raised numbers": (lambda log: sealed_again(log, b"99999"), "is not what its events make"),
    "no state": (lambda log: sealed_again(log, b"{"), "is not what its events make"),
    "of no event": (lambda log: sealed_again(log, b"1", version=999), "is of an event that the log does not have"),
    "of another meaning": (lambda log: sealed_again(log, b"99999", category="urn"), None),
    "of another meaning, unsealed": (
        lambda log: sealed_again(log, b"1", category="urn")._replace(state=b"2"),
        "is not as it was written, or is of another event",
    ),
    "of version 0.1.0": (lambda log: sealed_again(log, b"1")._replace(schema="jar:0123456789abcdef"), None),
    "of no schema": (
        lambda log: sealed_again(log, b"1")._replace(schema="jar"),
        "has a schema that sagaledger does not write: 'jar'",
    ),
    "of no participant, unsealed": (lambda log: sealed_again(log, b"1")._replace(stream_id="tin-a", schema="1"), None),
}


@pytest.mark.parametrize("case", VERIFIED)
def test_verify_folds_again_what_a_snapshot_is_of(filled: str, log: Backend, case: str) -> None:
    """The seal is no signature: who forges a state can seal it."""
    make, expected = VERIFIED[case]
    snapshot = make(log)
    edit(filled, "DELETE FROM snapshots")
    log.put_snapshots([snapshot])

    found = [problem.problem for problem in verify_snapshots(LedgerContext(log, App(participants=[jar()])))]

    named = f"the snapshot of {snapshot.stream_id!r} at version {snapshot.version} "
    assert found == ([] if expected is None else [named + expected])


def test_verify_names_a_snapshot_whose_stream_cannot_be_read(filled: str, log: Backend) -> None:
    """It cannot be compared."""
    edit(filled, "UPDATE events SET topic = 'Nonsense' WHERE position = 1")

    [problem] = verify_snapshots(LedgerContext(log, App(participants=[jar()])))

    assert "cannot be compared with its stream: position 1, jar-a version 1" in problem.problem


def test_a_snapshot_of_another_stream_decides_nothing(filled: str, log: Backend) -> None:
    """A row that was copied to another stream of the same participant."""
    cache = cache_of(log, jar())
    (snapshot,) = log.snapshots([JAR])
    log.put_snapshots([snapshot._replace(stream_id="jar-b")])
    assert filled
    assert cache.known("jar-b") is None
    assert cache._snapshots.load(["jar-b", JAR]).keys() == {JAR}


def test_a_snapshot_beyond_its_stream_is_replaced_by_the_next_one(filled: str, log: Backend) -> None:
    """It would stay for ever otherwise, being the newest."""
    edit(filled, "UPDATE snapshots SET version = 1000000")
    cache = cache_of(log, jar())
    drop(log, cache, SNAPSHOT_EVERY_EVENTS)
    cache.snapshot()

    (snapshot,) = log.snapshots([JAR])

    assert (snapshot.version, snapshot.state) == (LONG + SNAPSHOT_EVERY_EVENTS, b"1005")
    assert state_read(log, jar())[1] == [snapshot.version]


@pytest.mark.parametrize("position", [-7, 10**12])
def test_an_event_outside_of_the_log_keeps_no_snapshot(filled: str, log: Backend, position: int) -> None:
    """A snapshot of it is beyond its stream, and replaced."""
    columns = "topic, schema_version, state, correlation_id, causation_position, meta, recorded_at, digest"
    edit(
        filled,
        *([] if filled.startswith("sqlite") else ["ALTER TABLE events DROP CONSTRAINT events_position_check"]),
        f"INSERT INTO events (position, stream_id, version, {columns}) "  # noqa: S608  # the test's own text
        f"SELECT {position}, stream_id, 1000000, {columns} FROM events WHERE position = 1",
        "UPDATE snapshots SET version = 1000000",
    )
    cache = cache_of(log, jar())
    drop(log, cache, SNAPSHOT_EVERY_EVENTS)

    cache.snapshot()

    assert [each.version for each in log.snapshots([JAR])] == [LONG + SNAPSHOT_EVERY_EVENTS]


def test_a_snapshot_is_not_written_before_its_events_are_acknowledged(log: Backend) -> None:
    """Not while a draft that writes to its stream is under way, and not of events that the log does not have."""
    cache = cache_of(log, jar())
    drop(log, cache, SNAPSHOT_EVERY_EVENTS - 5)
    stage(cache, 10)

    cache.snapshot()
    assert log.snapshots([JAR]) == []


def test_a_snapshot_waits_for_the_drafts_that_write_to_its_stream(log: Backend) -> None:
    """Another writer's event of that version must not be taken for the one that was drafted."""
    cache = cache_of(log, jar())
    drop(log, cache, SNAPSHOT_EVERY_EVENTS - 5)
    stage(cache, 10)
    drop(log, cache_of(log, jar()), 10)

    cache.snapshot()
    assert log.snapshots([JAR]) == []


def test_a_fingerprint_of_code_changes_with_what_it_does() -> None:
    """With constants, names, defaults, closures and the functions of the module; not with where it stands."""

    def adding(amount: int) -> Any:
        def evolve(state: int, _event: Any) -> int:
            return state + amount

        return evolve

    def first(state: int, change: Any) -> int:
        return total(state, change)

    def second(state: int, change: Any) -> int:
        return double(state, change)

    def in_a_set(state: int, change: Any) -> int:
        return state if change in {"a", "b", "c"} else 0

    def by_keyword(state: int, change: Any, *, of: int = 1) -> int:
        return int(state + change.worth * of)

    def doubled(state: int, change: Any, *, of: int = 2) -> int:
        return int(state + change.worth * of)

    doubled.__qualname__ = by_keyword.__qualname__
    functions = [
        total, double, first, second, in_a_set, adding(1), adding(2), partial(total), lambda state, _: state,
        by_keyword, doubled, partial(total, 1), partial(total, 2), cache(total), cache(double),
    ]  # fmt: skip

    assert len({code_fingerprint(function) for function in functions}) == len(functions)
    assert code_fingerprint(adding(1)) == code_fingerprint(adding(1))


def _state_type(factor: int) -> type[Any]:
    """A type of states with a method that `evolve` calls; each has another body, and the same form."""
    if factor == 1:

        class Tally(msgspec.Struct):
            total: int = 0

            def after(self, worth: int) -> Any:
                return type(self)(self.total + worth)
    else:

        class Tally(msgspec.Struct):  # type: ignore[no-redef]
            total: int = 0

            def after(self, worth: int) -> Any:
                return type(self)(self.total + worth * 2)

    return Tally


def _tallying(factor: int) -> Participant[Any]:
    tally = _state_type(factor)
    return jar(initial=tally(), state_type=tally, evolve=lambda state, dropped: state.after(dropped.worth))


def test_a_method_of_the_state_is_part_of_its_meaning() -> None:
    """`evolve` is the same code, and makes another state."""
    assert meaning_of(_tallying(1)) != meaning_of(_tallying(2))
    assert meaning_of(_tallying(1)) == meaning_of(_tallying(1))


def test_an_upcaster_is_part_of_the_meaning() -> None:
    """It was mended under one version: the state in a snapshot is of what the old one made."""

    def upcast(factor: int) -> type[Event]:
        def multiply(fields: dict[str, Any]) -> dict[str, Any]:
            return {**fields, "worth": fields["worth"] * factor}

        @event("CoinDropped", version=2, upcasters={1: multiply})
        class Dropped(Event):
            worth: int

        return Dropped

    meanings = [meaning_of(jar(events=[upcast(factor)])) for factor in (1, 10, 1)]

    assert meanings[0] == meanings[2] != meanings[1]


def test_a_meaning_is_the_same_in_every_process() -> None:
    """Also of a function that dispatches by type, which keeps a cache, and of code with sets."""
    program = (
        "from functools import singledispatch\n"
        "from tests.ledger.test_snapshots import jar, total\n"
        "from sagaledger.infrastructure.ledger.participant_snapshots import meaning_of\n"
        "from sagaledger.domain.shop import PARTICIPANTS\n"
        "evolve = singledispatch(total)\n"
        "evolve.register(str, lambda state, text: state if text in {'a', 'b', 'c'} else text)\n"
        "{use}"
        "print([meaning_of(each) for each in (jar(evolve=evolve), *PARTICIPANTS)])\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program.replace("{use}", use)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed, use in (("1", ""), ("2", "evolve('a', 'a')\n"))
    }

    assert len(printed) == 1
