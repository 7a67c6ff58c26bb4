"""`definitions`: the versions of definitions, and how many sagas each still holds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ....domain.saga.definition import Definition
from ....domain.saga.step_kind import ForEach
from ....domain.saga.stored_type import json_schema_of
from ....domain.saga.structure_changes import breaking
from ...ledger.definition_usage import VersionStatus, VersionUsage, count_sagas
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.definitions_screen import definitions_screen, marked
from ..output.table import Table
from ..session import bring_views_up, open_ledger

STEPS = "steps (*: pivot, ?: condition, []: list)"
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
    """Every version of a definition that is on record or that the app registers, with how many sagas it still holds."""
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        usage = count_sagas(ledger.context)
        registered = bool(ledger.app.definitions)

    def text() -> Iterable[Block]:
        red = {at: "red" for at, version in enumerate(usage.versions) if version.status is not VersionStatus.REGISTERED}
        yield Table(COLUMNS, [_cells(version) for version in usage.versions], red)

    documents = [_document(version) for version in usage.versions]
    document = {"definitions": documents, "as_of_position": usage.as_of_position}
    answer(options, document, text, partial(definitions_screen, usage.versions))
    for version in usage.versions if registered else ():
        if remark := _remark(version):
            say(remark)
    if not registered:
        say("no app is in use, so no definition is registered: --app module:object names the one that has them")
    return ExitCode.OK


def _remark(version: VersionUsage) -> str | None:
    """Say what has to be done about a version; None if nothing has."""
    what = f"{version.name} version {version.version}"
    match version.status:
        case VersionStatus.NOT_REGISTERED if version.unfinished:
            return f"{what} is not registered with this app, and {version.unfinished:,} of its sagas are not finished"
        case VersionStatus.CHANGED:
            found = "; ".join(map(str, breaking(version.differences))) or "its structure changed"
            return (
                f"{what} is on record with the fingerprint {version.recorded_fingerprint}, and the one registered has "
                f"{version.fingerprint} ({found}): no worker takes it; register the changed one as a new version"
            )
        case _:
            return None


def _cells(version: VersionUsage) -> tuple[Any, ...]:
    known = version.registered
    steps, deadline = (None, None) if known is None else (" → ".join(map(marked, known.steps)), known.deadline)
    return (
        version.name,
        version.version,
        version.fingerprint or version.recorded_fingerprint,
        version.unfinished,
        version.sagas,
        version.status.replace("_", " "),
        steps,
        deadline,
    )


def _document(version: VersionUsage) -> dict[str, Any]:
    return {
        "definition": version.name,
        "version": version.version,
        "state": version.status,
        "fingerprint": version.fingerprint,
        "recorded_fingerprint": version.recorded_fingerprint,
        "unfinished": version.unfinished,
        "sagas": version.sagas,
        **({} if version.registered is None else structure_document(version.registered)),
    }


def structure_document(definition: Definition) -> dict[str, Any]:
    """Return what a definition says of its steps and its input."""
    return {
        "deadline_seconds": definition.deadline,
        "steps": [
            {
                "step": step.name,
                "after": list(definition.after[step.name]),
                "pivot": step.pivot,
                **step.kind.structure,
                **step.kind.target,
                **({"parallel": step.kind.parallel} if isinstance(step.kind, ForEach) else {}),
                "conditional": step.condition is not None,
                "compensated": step.undo is not None,
                "attempts_max": step.retry.default.attempts,
                "attempts_max_by_error": {type_.__name__: retry.attempts for type_, retry in step.retry.by_type},
                "timeout_seconds": step.timeout,
                "heartbeat_timeout_seconds": step.heartbeat_timeout,
            }
            for step in definition.steps
        ],
        "input": json_schema_of(definition.input_type),
    }
