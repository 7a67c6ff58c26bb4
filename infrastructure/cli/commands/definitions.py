"""`definitions`: the sagas that can be started, their versions, and how many sagas each version still holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ....domain.saga.definition import Definition
from ...ledger.definition_usage import VersionUsage, count_sagas
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.freshness import follow_if_unattended
from ..output.output import Block, answer, say
from ..output.table import Table
from ..session import open_ledger

STEPS = "steps (*: pivot)"
COLUMNS = (
    "definition",
    "version",
    "fingerprint",
    "unfinished",
    "sagas",
    "state",
    STEPS,
    "deadline_seconds",
)


def definitions(*, options: Options = DEFAULTS) -> ExitCode:
    """The sagas that can be started; and, of each version, the fingerprint and how many sagas it still holds."""
    with open_ledger(options) as ledger:
        follow_if_unattended(ledger)
        held = count_sagas(ledger.context)
        known = {(d.name, d.version): d for d in ledger.app.definitions}
    documents = [_document(holding, known.get((holding.name, holding.version))) for holding in held.versions]

    def text() -> Iterable[Block]:
        yield Table(
            COLUMNS,
            [_row(holding, known.get((holding.name, holding.version))) for holding in held.versions],
            {at: "red" for at, holding in enumerate(held.versions) if _state(holding) != "registered"},
            flexible=(STEPS,),
        )

    answer(options, {"definitions": documents, "as_of_position": held.as_of_position}, text)
    for holding in held.versions:
        if remark := _remark(holding):
            say(remark)
    return ExitCode.OK


def _state(holding: VersionUsage) -> str:
    if holding.registered is None:
        return "not registered"
    return "registered" if holding.recorded in (None, holding.registered) else "changed"


def _remark(holding: VersionUsage) -> str | None:
    """What somebody has to do about a version, if anything."""
    what = f"{holding.name} version {holding.version}"
    match _state(holding):
        case "not registered" if holding.unfinished:
            return f"{what} is not registered with this app, and {holding.unfinished:,} of its sagas are not finished"
        case "changed":
            return (
                f"{what} is on record with the fingerprint {holding.recorded}, and the one registered has "
                f"{holding.registered}: no worker takes it; register the changed one as a new version"
            )
        case _:
            return None


def _row(holding: VersionUsage, known: Definition | None) -> tuple[Any, ...]:
    steps, deadline = (None, None) if known is None else (" → ".join(map(_mark, known.steps)), known.deadline)
    fingerprint = holding.registered or holding.recorded
    counts = (holding.unfinished, holding.sagas)
    return (holding.name, holding.version, fingerprint, *counts, _state(holding), steps, deadline)


def _mark(step: Any) -> str:
    return f"{step.name}*" if step.pivot else str(step.name)


def _document(holding: VersionUsage, known: Definition | None) -> dict[str, Any]:
    return {
        "definition": holding.name,
        "version": holding.version,
        "state": _state(holding).replace(" ", "_"),
        "fingerprint": holding.registered,
        "recorded_fingerprint": holding.recorded,
        "unfinished": holding.unfinished,
        "sagas": holding.sagas,
        **({} if known is None else _structure(known)),
    }


def _structure(definition: Definition) -> dict[str, Any]:
    return {
        "deadline_seconds": definition.deadline,
        "steps": [
            {
                "step": step.name,
                "after": list(definition.after[step.name]),
                "pivot": step.pivot,
                **step.kind.structure,
                "compensated": step.undo is not None,
                "attempts_max": step.retry.attempts,
                "timeout_seconds": step.timeout,
            }
            for step in definition.steps
        ],
        "input": msgspec.json.schema(definition.input_type),
    }
