"""Screens as a person sees them, kept as text in `golden/` at 80 and 120 columns.

`pytest tests/cli/test_screens.py --update-golden` writes them anew, and the samples in docs/command-line.md: read them,
as if you were on call, before you commit them.
"""

from __future__ import annotations

import logging
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.cells import cell_len

from sagaledger.infrastructure.cli.main import run
from sagaledger.infrastructure.event_store.sqlite.clock import set_clock
from sagaledger.infrastructure.read_models import relative_time

from .trips_ledger import NOW, trips_ledger

GOLDEN = Path(__file__).with_name("golden")
APP = Path(__file__).with_name("trips.py")
PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
SAMPLE = re.compile(r"^```text\n(\$ sagaledger .*?)^```$", re.DOTALL | re.MULTILINE)
WIDTHS = (80, 120)
SCREENS = {
    "show-completed": "show group_trip-Rome",
    "show-compensated": "show group_trip-Atlantis",
    "show-waits-for-approval": "show group_trip-名古屋",
    "show-sub-saga-needs-a-person": "show group_trip-Oslo",
    "show-sub-saga": "show charge_card-Oslo",
    "show-needs-a-person": "show fulfil_order-536366",
    "show-worker-died": "show group_trip-Kyiv",
    "show-long-name": "show 'group_trip-Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch, Ynys Môn'",
    "show-choreographed": "show order_flow-81",
    "show-choreographed-without-app": "show order_flow-81",
    "list": "list",
    "history-completed": "history group_trip-Rome",
    "history-compensated": "history group_trip-Atlantis",
    "history-over-midnight": "history group_trip-名古屋",
    "history-participants": "history fulfil_order-536366",
    "history-page": "history group_trip-Rome --after 40 --limit 5",
    "history-choreographed-without-app": "history order_flow-81",
    "history-choreographed": "history order_flow-81",
    "projections": "projections",
    "query-sagas": "query sagas --order started_at",
    "query-steps": "query saga_steps saga_id=group_trip-Rome --order started_at",
    "query-one": "query sagas saga_id=group_trip-Atlantis",
    "query-inventory": "query inventory",
    "definitions": "definitions",
    "state": "state group_trip-Kyiv",
    "diff": "diff group_trip-Rome v14 v19",
    "participants": "participants",
    "deadletters": "deadletters list",
    "verify": "verify",
    "show-past": "show group_trip-Rome --at v14",
    "state-past": "state fulfil_order-536366 --at @109",
    "changes": "changes @100 --limit 5",
    "decisions": "decisions",
    "stats": "stats --definition group_trip",
    "sql": "sql 'SELECT saga_id, status, started_at, error FROM sagas ORDER BY started_at LIMIT 4'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ledger of the screens."""
    path = tmp_path_factory.mktemp("screens")
    with trips_ledger(f"sqlite:///{path / 'ledger.db'}"):
        pass
    with closing(sqlite3.connect(path / "ledger.db")) as file, file:  # the projector goes by the clock of the machine
        file.execute("UPDATE projections SET updated_at = ?", [f"{NOW:%Y-%m-%d %H:%M:%S}.250000+00:00"])
    return path


@pytest.fixture
def on_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A person on call, at a fixed time."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SAGALEDGER_DB", "sqlite:///ledger.db")
    monkeypatch.setenv("SAGALEDGER_APP", f"{APP}:APP")
    monkeypatch.setattr(relative_time, "utc_now", lambda: NOW)
    logger = logging.getLogger("sagaledger")  # to which a command adds a handler
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))
    set_clock(lambda: int(NOW.timestamp()) * 1_000_000_000)
    yield
    set_clock(None)


@pytest.mark.usefixtures("on_call")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_it_was_read(
    name: str,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """The screen of each command, line by line; no line is longer than the width."""
    if name.endswith("without-app"):
        monkeypatch.delenv("SAGALEDGER_APP")
    run([*shlex.split(SCREENS[name]), "--width", str(width)])
    shown = capsys.readouterr()
    text = f"$ sagaledger {SCREENS[name]}\n{shown.out}" + (f"--- stderr\n{shown.err}" if shown.err else "")

    path = GOLDEN / f"{name}-{width}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()
    assert shown.out
    for line in shown.out.splitlines():
        assert cell_len(line) <= width, line


def test_the_page_shows_the_same_screens(request: pytest.FixtureRequest) -> None:
    """Each sample in it is a screen of 80 columns."""
    text = PAGE.read_text()
    screens = [path.read_text().partition("--- stderr")[0] for path in GOLDEN.glob("*-80.txt")]
    samples = SAMPLE.findall(text)
    if request.config.getoption("--update-golden"):
        for sample in samples:
            [same] = [screen for screen in screens if screen.splitlines()[0] == sample.splitlines()[0]]
            text = text.replace(sample, same)
        PAGE.write_text(text)
        samples = SAMPLE.findall(text)
    assert samples
    assert [sample for sample in samples if sample not in screens] == []
