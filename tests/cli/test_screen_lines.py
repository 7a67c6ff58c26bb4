"""No line of a screen is longer than its width, no word of it is broken, and a command on it can be copied."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import (
    CompensationStarted,
    Effect,
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from sagaledger.infrastructure.cli.output.elapsed import Since, about, elapsed
from sagaledger.infrastructure.cli.output.history_screen import HistoryPage, history_screen
from sagaledger.infrastructure.cli.output.saga_list import saga_list
from sagaledger.infrastructure.cli.output.screen import Line, command_lines, wrapped
from sagaledger.infrastructure.cli.output.screen_table import table_lines
from sagaledger.infrastructure.cli.output.step_chart import step_chart
from sagaledger.infrastructure.cli.output.step_tree import step_tree
from sagaledger.infrastructure.cli.output.table import Table
from sagaledger.infrastructure.cli.output.text import shell_word
from sagaledger.infrastructure.cli.output.worker_names import short_names
from sagaledger.infrastructure.ledger.saga_history import HistoryEntry
from sagaledger.infrastructure.ledger.saga_overview import attempts_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALPHABET = "abcdefgXYZ0189-_.éß織田信長"
words = st.text(ALPHABET, min_size=1, max_size=9)
"""Words of up to 18 cells; some characters take two."""
texts = st.lists(words, min_size=1, max_size=30).map(" ".join)
names = st.text("abcdefghijklmnop_", min_size=1, max_size=18)
widths = st.integers(40, 160)
wide = st.integers(80, 160)
seconds = st.floats(0, 10**6, allow_nan=False)
few = settings(max_examples=25, deadline=None)


def _check(lines: Iterable[Line], width: int, whole: Iterable[str] = ()) -> list[str]:
    """The lines keep to the width, and each of these words stands on one of them."""
    shown = [line.text for line in lines]
    for line in shown:
        assert cell_len(line) <= width, line
    for word in whole:
        assert any(word in line for line in shown), word
    return shown


@few
@given(texts, st.text(ALPHABET, max_size=20), widths)
def test_words_go_on_in_the_next_line(text: str, first: str, width: int) -> None:
    """Every word is there, in order, and whole."""
    shown = _check(wrapped(text, width, first, "  "), width, text.split())
    assert " ".join(shown).removeprefix(first).split() == text.split()


@few
@given(st.text(f"{ALPHABET},:/=", min_size=50, max_size=300), widths)
def test_a_word_that_is_longer_than_a_line_loses_nothing(text: str, width: int) -> None:
    """It is broken, after punctuation if it has any."""
    shown = _check(wrapped(text, width, "input  "), width)
    assert "".join(shown).removeprefix("input").replace(" ", "") == text.replace(" ", "")


@few
@given(st.lists(st.text(f"{ALPHABET} '\"\\$`", max_size=60), min_size=1, max_size=8), widths)
def test_a_command_on_several_lines_is_the_same_command(arguments: list[str], width: int) -> None:
    """The shell joins its lines; none is longer than the width."""
    command = " ".join(map(shell_word, ["sagaledger", *arguments]))
    shown = _check(command_lines(command, width, "    "), width)
    assert shlex.split("\n".join(shown).replace("\\\n", "")) == ["sagaledger", *arguments]


def test_bash_reads_a_command_on_several_lines() -> None:
    """Also an option whose value is longer than a line, and has quotes."""
    value = "it's a long name of a saga, " * 5
    lines = command_lines(f"printf '%s|' --step {shell_word(value)} --reason WHY", 40, "    ")
    done = subprocess.run(["bash", "-c", "\n".join(line.text for line in lines)], capture_output=True, check=True)
    assert done.stdout.decode() == f"--step|{value}|--reason|WHY|"


values = st.one_of(st.none(), st.integers(-(10**9), 10**9), texts, seconds.map(lambda s: NOON + timedelta(seconds=s)))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Tables of one to eight columns, with rows of any values."""
    columns = draw(st.lists(names, min_size=1, max_size=8, unique=True))
    rows = draw(st.lists(st.tuples(*(values for _ in columns)), max_size=6))
    return Table(columns, rows, notes={0: [draw(texts)]} if rows else {})


@few
@given(tables(), widths)
def test_a_table_keeps_to_the_width(table: Table, width: int) -> None:
    """However many columns it has; every word of every text is there, and whole."""
    whole = [word for row in table.rows for value in row if isinstance(value, str) for word in value.split()]
    _check(
        table_lines(table, width), width, [*whole, *(word for note in table.notes.values() for word in note[0].split())]
    )


@few
@given(st.lists(st.tuples(words, names, texts, seconds, st.sampled_from(["completed", "waiting"])), max_size=8), widths)
def test_a_list_of_sagas_keeps_to_the_width(sagas: list[tuple[str, str, str, float, str]], width: int) -> None:
    """With ids, steps and errors of any text."""
    rows: list[dict[str, Any]] = [
        {
            "saga_id": f"{name}-{number}",
            "status": status,
            "started_at": NOON - timedelta(seconds=age),
            "ended_at": None if status == "waiting" else NOON,
            "current_step": step,
            "failed_step": None,
            "error": error[:90],
            "findings": number % 2,
            "events": number,
        }
        for number, (name, step, error, age, status) in enumerate(sagas)
    ]
    _check(saga_list(rows, NOON, width), width, [row["saga_id"] for row in rows])


@st.composite
def histories(draw: st.DrawFn) -> list[HistoryEntry]:
    """Steps that begin and end in any order, with events of participants in between."""
    steps = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    entries: list[HistoryEntry] = []
    at, version = NOON, 0
    for step, kind, told in draw(st.lists(st.tuples(st.sampled_from(steps), st.integers(0, 5), texts), max_size=25)):
        at += timedelta(seconds=draw(seconds))
        result = msgspec.Raw(msgspec.json.encode(told[:100]))
        error = Failure("OSError", told[:100])
        event: Any = (
            StepStarted(at, step, 1, "key"),
            StepSucceeded(at, step, 1, result),
            StepFailed(at, step, 1, error, Effect.UNKNOWN, True, at + timedelta(seconds=1)),
            CompensationStarted(at, step, 1, "key"),
            StepCompensated(at, step, 1, result),
            None,
        )[kind]
        own = event is not None
        version += own
        stored = event if own else msgspec.Raw(msgspec.json.encode({"told": told[:100]}))
        meta = Meta(actor=step, worker=f"{step} pid:[1]-{kind}-1")
        stream, number = ("saga-1", version) if own else (f"stream-{step}", 7)
        topic = type(event).schema.name if own else "SomethingHappened"
        position = len(entries) + 990
        entries.append(HistoryEntry(position, stream, number, topic, event, stored, "saga-1", None, meta, at, 1))
    return entries


@few
@given(histories(), widths)
def test_a_history_keeps_to_the_width(entries: list[HistoryEntry], width: int) -> None:
    """Also where its lanes and its tree leave little room."""
    _check(history_screen(HistoryPage("saga-1", entries, entries, "running"), width), width)


@few
@given(histories(), wide)
def test_a_history_breaks_no_word(entries: list[HistoryEntry], width: int) -> None:
    """Where there is room for one. Each event has both of its numbers."""
    told = [entry.event.error.message for entry in entries if isinstance(entry.event, StepFailed)]
    lines = history_screen(HistoryPage("saga-1", entries, entries, "running"), width)
    shown = _check(lines, width, [word for text in told for word in text.split()])
    for entry in entries:
        if entry.event is not None:
            assert any(line.split()[:2] == [f"@{entry.position}", f"v{entry.version}"] for line in shown)


@few
@given(histories(), widths)
def test_a_chart_of_steps_keeps_to_the_width(entries: list[HistoryEntry], width: int) -> None:
    """For any order of attempts, also one that no saga has."""
    begun: set[tuple[str, bool]] = set()
    events = []
    for entry in entries:
        if entry.event is None:
            continue
        key = entry.event.step, isinstance(entry.event, CompensationStarted | StepCompensated)  # type: ignore[attr-defined]
        if isinstance(entry.event, StepStarted | CompensationStarted):
            begun.add(key)
        if key in begun:
            events.append(RecordedEvent(*entry[:3], entry.event, "saga-1", None, entry.meta, entry.recorded_at))
    attempts = attempts_of(events)
    branches = list(step_tree(events, attempts))
    workers = short_names(row["worker"] for row in attempts)
    now = NOON + timedelta(days=400)
    shown = _check(step_chart(branches, Since(NOON), now, width, workers), width)
    assert len(branches) == len({(row["step"], row["direction"]) for row in attempts})
    assert len(shown) > len(attempts)


@pytest.mark.parametrize(
    ("span", "text", "short"),
    [
        (0, "0.000 s", "0.0 s"),
        (1.2041, "1.204 s", "1.2 s"),
        (59.9994, "59.999 s", "60.0 s"),
        (59.9996, "1 m 00.0 s", "60.0 s"),
        (725.34, "12 m 05.3 s", "12 m"),
        (3_599.99, "59 m 59.9 s", "59 m"),
        (11_220, "3 h 07 m", "3 h"),
        (4 * 86_400 + 6 * 3_600, "4 d 06 h", "4 d"),
    ],
)
def test_a_time_span_has_two_units_at_most(span: float, text: str, short: str) -> None:
    """And never sixty seconds beside minutes."""
    assert (elapsed(span), about(span)) == (text, short)
    assert Since(NOON).offset(NOON - timedelta(seconds=5)) == "-5.000 s"


def test_a_worker_has_a_short_name() -> None:
    """Without its host where all are on one, and the whole one if nothing shorter names it alone."""
    here, there = "vm pid:[4026531836]-17341-1", "host-2-99-4"
    assert short_names([here, None, here]) == {here: "17341-1"}
    assert short_names([here, there]) == {here: "vm/17341-1", there: "host-2/99-4"}
    assert short_names([here, "vm pid:[7]-17341-1", "payment"]) == {
        here: here,
        "vm pid:[7]-17341-1": "vm pid:[7]-17341-1",
        "payment": "payment",
    }
