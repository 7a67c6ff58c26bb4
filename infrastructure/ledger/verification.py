"""Verifying a ledger: its log was not edited, and everything beside it is what the log implies.

`docs/storage.md` has a table of what is compared with what, and of what the log says nothing about.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from ...domain.errors import SagaledgerError
from ...projections.view_version import is_of_declaration
from ..errors import DamagedLedger
from ..event_store import verify as log_verification
from ..event_store.verify import Problem, Verification
from ..read_models.checkpoints import BUILDING
from ..read_models.drift import drift
from ..read_models.process_coverage import folds_sagas
from ..runtime.progress import ReportProgress
from .context import LedgerContext
from .queue_verification import verify_work_queue
from .record_verification import verify_consumers, verify_definitions
from .snapshot_verification import verify_snapshots
from .undeclared_process import find_undeclared_process
from .view_operations import view_checkpoints
from .view_verification import verify_view_records

KEYS_NAMED_MAX = 3
"""How many rows of a view the description of a problem names."""

OpenProgress = Callable[[str], AbstractContextManager[ReportProgress]]
"""Opens the report of one part of the work, under a label."""


class LedgerVerification(NamedTuple):
    """What the verification of a log and of its views found."""

    log: Verification
    problems: list[Problem]
    """Those of the log, or else those of all that is beside it: compared with an edited log, that proves nothing."""
    views_not_compared: list[str]
    """The views that need more of an app than the one in use has."""


def verify_ledger(
    context: LedgerContext, *, expect: tuple[int, bytes] | None, progress: OpenProgress
) -> LedgerVerification:
    """Verify the log, then what is recorded beside it, and then each view that the app declares.

    `expect`: the position and the hash of a head that was kept elsewhere.
    """
    with progress("verifying the log") as report:
        log = log_verification.verify(context.backend, expect=expect, progress=report)
    if not log.ok:
        return LedgerVerification(log, list(log.problems), [])
    problems = _problems_beside_the_log(context, progress)
    try:
        problems += verify_view_records(context)
    except DamagedLedger as error:  # nothing says which views there are, and where they stand
        return LedgerVerification(log, [*problems, Problem(0, error.detail)], [])
    undeclared = find_undeclared_process(context)
    foreign = _views_of_other_declarations(context)
    not_compared = _views_not_declared(context, foreign)
    for projection in context.app.projections:
        if projection.name in foreign:
            continue
        if undeclared is not None and folds_sagas(projection):
            not_compared.append(projection.name)
            continue
        with progress(f"verifying view {projection.name}") as report:
            problem = _drift_of(context, projection.name, report)
        if problem is not None:
            problems.append(problem)
    return LedgerVerification(log, problems, sorted(not_compared))


def _problems_beside_the_log(context: LedgerContext, progress: OpenProgress) -> list[Problem]:
    problems: list[Problem] = []
    for what, verify_part in (
        ("snapshots", verify_snapshots),
        ("definitions", verify_definitions),
        ("consumers", verify_consumers),
        ("the work queue", verify_work_queue),
    ):
        with progress(f"verifying {what}"):
            try:
                problems += verify_part(context)
            except DamagedLedger as error:
                problems.append(Problem(0, f"{what}: {error.detail}"))
    return problems


def _views_of_other_declarations(context: LedgerContext) -> set[str]:
    """Return the views that the app declares with other search attributes than those that they were made for."""
    declared = {projection.name: projection.version for projection in context.app.projections}
    return {
        checkpoint.view
        for checkpoint in context.queries.seen()
        if is_of_declaration(declared[checkpoint.view]) and checkpoint.version != declared[checkpoint.view]
    }


def _views_not_declared(context: LedgerContext, foreign: set[str]) -> list[str]:
    """Return the views, and the generations beside them, that the database has and the app does not declare."""
    declared = {checkpoint.name for checkpoint in context.queries.seen() if checkpoint.view not in foreign}
    return [
        checkpoint.name
        for checkpoint in view_checkpoints(context)
        if checkpoint.status != BUILDING and checkpoint.name not in declared
    ]


def _drift_of(context: LedgerContext, view: str, report: ReportProgress) -> Problem | None:
    try:
        found = drift(context.queries, context.backend, context.codec, view, progress=report)
    except SagaledgerError as error:  # such as rows that cannot be read, or another version of the projection
        position = next((each.position for each in view_checkpoints(context) if each.name == view), 0)
        return Problem(position, str(error))
    if not found.count:
        return None
    keys = ", ".join(str(tuple(difference.key.values())) for difference in found.differences[:KEYS_NAMED_MAX])
    more = ", …" if found.count > KEYS_NAMED_MAX else ""
    rows = "1 row differs" if found.count == 1 else f"{found.count:,} rows differ"
    return Problem(
        found.position,
        f"view {view}: {rows} from what its events make: {keys}{more} (`sagaledger projections drift {view}` lists "
        "them)",
    )
