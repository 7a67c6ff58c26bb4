"""`check`: can what the ledger recorded go on with this app? For a pipeline, before the app is deployed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import Parameter

from ...errors import AppPartMissing
from ...ledger.compatibility import Compatibility, Verdict, VersionVerdict, check_compatibility
from ..arguments import INTEGER_MAX
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..session import app_name, open_ledger
from ..usage import UsageError

ALL = "all"
CHANGES = "changes"
STYLES = {Verdict.BREAKING: "red", Verdict.ADDITIVE: "yellow"}
HASHED = "its structure changed (only its fingerprint is on record)"
MISSING = "the app does not declare it, and its sagas need it"


def check(
    *,
    replay: Annotated[
        str, Parameter(help="Also replay the history of the N newest sagas, or of all: N or `all`. Ends if 20 diverge.")
    ] = "0",
    options: Options = DEFAULTS,
) -> ExitCode:
    """Compare what the app declares with what the ledger recorded; exits 4 if something recorded cannot go on.

    It compares each version of a definition, each view and each type of events. It writes nothing.
    """
    replays = _read_replays(replay)
    if app_name(options) is None:
        raise AppPartMissing("a check", "everything that is to be compared")
    with open_ledger(options) as ledger, progress("reading sagas") as report:
        found = check_compatibility(ledger.context, replays=replays, report=report)
    answer(options, _document(found), lambda: _report(found, replayed=replays != 0))
    if not found.is_breaking:
        return ExitCode.OK
    if any(version.verdict is Verdict.BREAKING for version in found.versions):
        say(
            "keep each version that has unfinished sagas as it is on record, and register what changed as a new version"
        )
    return ExitCode.CONFLICT


def _read_replays(text: str) -> int | None:
    if text == ALL:
        return None
    if not text.isdecimal() or int(text) > INTEGER_MAX:
        raise UsageError(f"--replay {text!r} is neither a number of sagas nor `{ALL}`")
    return int(text)


def _report(found: Compatibility, *, replayed: bool) -> Iterable[Block]:
    yield Table(
        ("definition", "version", "verdict", "unfinished", "sagas", CHANGES),
        [
            (each.name, each.version, each.verdict, each.unfinished, each.sagas, _changes(each))
            for each in found.versions
        ],
        _styles(each.verdict for each in found.versions),
    )
    views = [each for each in found.views if each.verdict in STYLES]
    if views:
        yield Table(
            ("view", "verdict", "recorded version", "declared version"),
            [(each.view, each.verdict, each.recorded_version, each.declared_version) for each in views],
            _styles(each.verdict for each in views),
        )
    if found.unreadable:
        yield Table(
            ("events that the app cannot read", "schema version", "readable", "events"),
            [(each.topic, each.schema_version, each.readable_version, each.events) for each in found.unreadable],
            dict.fromkeys(range(len(found.unreadable)), "red"),
        )
    yield from map(str, found.divergences)
    parts = [counted(len(found.versions), "version"), counted(len(found.views), "view")]
    parts += [counted(found.replayed, "saga") + " replayed"] if replayed else []
    yield f"{'NOT compatible' if found.is_breaking else 'compatible'}: {', '.join(parts)}"


def _styles(verdicts: Iterable[Verdict]) -> dict[int, str]:
    return {at: STYLES[verdict] for at, verdict in enumerate(verdicts) if verdict in STYLES}


def _changes(version: VersionVerdict) -> str:
    if version.differences:
        return "; ".join(map(str, version.differences))
    if version.verdict is not Verdict.BREAKING:
        return ""
    return HASHED if version.is_declared else MISSING


def _document(found: Compatibility) -> dict[str, Any]:
    return {
        "compatible": not found.is_breaking,
        "definitions": [
            {
                "definition": each.name,
                "version": each.version,
                "verdict": each.verdict,
                "unfinished": each.unfinished,
                "sagas": each.sagas,
                "differences": [
                    {"place": one.place, "change": one.change, "breaking": one.is_breaking} for one in each.differences
                ],
            }
            for each in found.versions
        ],
        "views": [each._asdict() for each in found.views],
        "unreadable_events": [each._asdict() for each in found.unreadable],
        "replayed": found.replayed,
        "divergences": found.divergences,
    }
