"""A process that dies at one crossing of the boundary after another: `python -m tests.crash.lives URL FOLDER …`.

Each death has a ledger of its own: one life that ends with SIGKILL at the n-th crossing, one that brings everything to
its end, and an inspection. The lives are forks of this process, which has one thread, so that none pays for imports.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg

from sagaledger.infrastructure.runtime import failpoints

from .inspection import Outcome, inspect
from .life import live

LIFE_SECONDS_MAX = 60
"""A life that takes longer never ends, and is ended."""
MADE_WRONG = 70
"""The exit code of a life that ended with an error."""


def main(url: str, folder: Path, sample: int) -> None:
    """Die at `sample` crossings spread over a whole life (0: at each), and print what was wrong, as JSON."""
    expected, crossings = _undisturbed(url, folder)
    step = 1 if sample == 0 else max(1, len(crossings) // sample)
    deaths = range(1, len(crossings) + 1, step)
    found: list[str] = []
    for death in deaths:
        place = folder / f"death-{death}"
        place.mkdir()
        wrong = _die_and_go_on(_ledger_at(url, place), place, death, expected)
        found += [f"killed at crossing {death} ({crossings[death - 1]}): {violation}" for violation in wrong]
        print(f"crossing {death} of {len(crossings)}: {wrong or 'well'}", file=sys.stderr, flush=True)
    print(json.dumps({"crossings": len(crossings), "deaths": len(deaths), "found": found}))


def _undisturbed(url: str, folder: Path) -> tuple[Outcome, list[str]]:
    """How it ends when nobody dies, and what was crossed on the way."""
    place = folder / "undisturbed"
    place.mkdir()
    mine = _ledger_at(url, place)

    def note_crossings() -> None:
        with (place / "crossings").open("w") as notes:
            failpoints.set_listener(
                lambda name, after: print(f"{'after' if after else 'before'} {name}", file=notes, flush=True)
            )
            live(mine, place)
            failpoints.set_listener(None)

    _must_end(_fork(note_crossings, place), place)
    outcome, found = _inspected(mine, place)
    if found:
        raise AssertionError(f"undisturbed, and yet: {found}")
    return outcome, (place / "crossings").read_text().splitlines()


def _die_and_go_on(url: str, place: Path, death: int, expected: Outcome) -> list[str]:
    def die() -> None:
        left = death

        def count_down(_name: str, _after: bool) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        failpoints.set_listener(count_down)
        live(url, place)

    status = _fork(die, place)
    if not os.WIFSIGNALED(status):
        _must_end(status, place)  # an error; or else it came to its end before, having less to do than the first
    try:
        _must_end(_fork(lambda: live(url, place), place), place)
        outcome, found = _inspected(url, place)
    except AssertionError as error:
        return [str(error)]
    return found if outcome == expected else [*found, f"it ended as {outcome}, undisturbed as {expected}"]


def _inspected(url: str, place: Path) -> tuple[Outcome, list[str]]:
    report = place / "report"

    def write() -> None:
        outcome, found = inspect(url, place)
        report.write_text(json.dumps([outcome, found], default=str))

    _must_end(_fork(write, place), place)
    outcome, found = json.loads(report.read_text())
    return Outcome(*outcome), found


def _ledger_at(url: str, place: Path) -> str:
    """A ledger of its own: a file, or a schema."""
    if url.startswith("sqlite"):
        return f"sqlite:///{place / 'ledger.db'}"
    schema = f"{place.parent.name}_{place.name}".replace("-", "_")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(schema)))
    return f"{url}&options={quote(f'-csearch_path={schema}')}"


def _fork(run: Callable[[], None], place: Path) -> int:
    """Run something in a process of its own; gives its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    signal.alarm(LIFE_SECONDS_MAX)
    try:
        run()
        code = 0
    except BaseException:  # noqa: BLE001 -- it is written down, and the exit code says that it is
        (place / "error").write_text(traceback.format_exc())
        code = MADE_WRONG
    os._exit(code)


def _must_end(status: int, place: Path) -> None:
    if status != 0:
        error = place / "error"
        raise AssertionError(
            f"status {status}: {error.read_text()[-1500:] if error.exists() else 'no error was noted'}"
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
