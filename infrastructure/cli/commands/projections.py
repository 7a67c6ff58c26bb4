"""`projections`: how far each view is, rebuilding one, dropping what older versions left, and proving that one equals
its events."""

from __future__ import annotations

from collections.abc import Iterable

from cyclopts import App

from ....projections.projection import Row
from ...ledger.freshness import head_position
from ...ledger.view_operations import compare_view, prune_views, rebuild_view, view_checkpoints, view_followers
from ...read_models.checkpoints import BUILDING
from ...read_models.drift import Difference, Drift
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, jsonable, jsonable_row, say
from ..output.progress import progress
from ..output.projections_screen import projections_screen
from ..output.remarks import worker_remark
from ..output.table import Table
from ..output.text import counted
from ..session import open_ledger

COLUMNS = ("name", "generation", "version", "position", "status", "stopped_at_position", "error", "updated_at")

app = App(name="projections")


@app.default
def checkpoints(*, options: Options = DEFAULTS) -> ExitCode:
    """How far each view has folded the log, how far it is behind, and who follows it."""
    with open_ledger(options) as ledger:
        head = head_position(ledger.context)
        found = view_checkpoints(ledger.context)
        followers = view_followers(ledger.context)
        remark = worker_remark(ledger, options) if any(each.position < head for each in found) else None
    rows = [
        {
            **{name: getattr(each, name) for name in COLUMNS},
            "lag_events": max(head - each.position, 0),
            "public": not each.is_beside and each.status != BUILDING,
            "followers": followers.get((each.view, each.version), []),
        }
        for each in found
    ]
    columns = (*COLUMNS[:4], "lag_events", *COLUMNS[4:], "public", "followers")
    unfollowed = [each for each in found if each.is_beside and (each.view, each.version) not in followers]
    document = {
        "head_position": head,
        "projections": [{name: jsonable(row[name]) for name in columns} for row in rows],
    }
    plain = Table(columns, [[row[name] for name in columns] for row in rows])
    answer(options, document, lambda: [plain], lambda width: projections_screen(rows, head, width))
    if not options.json:
        say(f"head {head}" + (f"; {remark}" if remark else ""))
    if unfollowed and not options.json:
        names = ", ".join(each.name for each in unfollowed)
        say(f"no process follows {names}: {options.again('projections', 'prune')} drops what no process follows")
    return ExitCode.OK


@app.command
def rebuild(name: str, /, *, options: Options = DEFAULTS) -> ExitCode:
    """Fold a view anew from the first event, beside the live one, and replace that by it. Needs the app that has it.

    Parameters
    ----------
    name
        The view's name.
    """
    with open_ledger(options) as ledger, progress(f"rebuilding {name}") as report:
        built = rebuild_view(ledger.context, name, report)
    document = {"projection": name, "generation": built.generation, "position": built.position}
    answer(
        options, document, lambda: [f"{name} is rebuilt: generation {built.generation}, at position {built.position}"]
    )
    return ExitCode.OK


@app.command(name="prune")
def prune_(name: str | None = None, /, *, options: Options = DEFAULTS) -> ExitCode:
    """Drop the tables beside the views that served programs of other versions, and that no running worker follows.

    Parameters
    ----------
    name
        The view's name, or that of one such table; without it, every view.
    """
    with open_ledger(options) as ledger:
        pruned = prune_views(ledger.context, name)
    document = {
        "dropped": [each.name for each in pruned.dropped],
        "kept": [{"name": each.name, "followers": followers} for each, followers in pruned.kept],
    }
    answer(options, document, lambda: [f"dropped {each.name}" for each in pruned.dropped] or ["nothing was dropped"])
    if not options.json:
        for each, followers in pruned.kept:
            say(f"{each.name} is kept: {', '.join(followers)} still follows it")
    return ExitCode.OK


@app.command
def drift(name: str, /, *, options: Options = DEFAULTS) -> ExitCode:
    """Compare a view, row by row, with what its events make of it; exits 6 if a row differs. Needs the app that has it.

    Parameters
    ----------
    name
        The view's name.
    """
    with open_ledger(options) as ledger, progress(f"folding {name}") as report:
        found = compare_view(ledger.context, name, report)
    document = {
        "projection": name,
        "position": found.position,
        "rows": found.rows,
        "rows_differing": found.count,
        "differences": [_difference(difference) for difference in found.differences],
    }
    answer(options, document, lambda: _report(found))
    if found.count:
        say(f"{options.again('projections', 'rebuild', name)} corrects it")
    return ExitCode.VERIFICATION_FAILED if found.count else ExitCode.OK


def _report(found: Drift) -> Iterable[Block]:
    where = f"{found.view}: {counted(found.rows, 'row')} at position {found.position}"
    if not found.count:
        yield f"{where}, each as its events make it"
        return
    yield f"{where}, {found.count:,} not as their events make them"
    cells = [
        (difference.key, column, _value(difference.live, column), _value(difference.rebuilt, column))
        for difference in found.differences
        for column in _differing(difference)
    ]
    yield Table(("key", "column", "live", "by its events"), cells)


def _differing(difference: Difference) -> list[str]:
    live, rebuilt = difference.live or {}, difference.rebuilt or {}
    return [column for column in {**live, **rebuilt} if live.get(column) != rebuilt.get(column)]


def _value(row: Row | None, column: str) -> object:
    return "(no row)" if row is None else row[column]


def _difference(difference: Difference) -> dict[str, Row | None]:
    return {
        name: None if row is None else jsonable_row(row)
        for name, row in (("key", difference.key), ("live", difference.live), ("rebuilt", difference.rebuilt))
    }
