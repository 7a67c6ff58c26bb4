"""`definitions`: the versions of definitions, and how many sagas each still holds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ....domain.saga.structure_changes import breaking
from ...ledger.definition_documents import version_document
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

    documents = [version_document(version) for version in usage.versions]
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
