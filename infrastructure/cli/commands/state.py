"""`state` and `diff`: what a saga's events add up to, at any point, and between two."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ....domain.saga.state import SagaState
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.documents import event_document, state_document
from ..output.output import answer
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import read_moment, show_instant
from ..session import open_ledger
from .history import timeline

ABSENT = object()
UNTOLD: tuple[Any, ...] = (None, False, 0, "pending", [], {})


def state(
    saga_id: str,
    /,
    *,
    at: Annotated[str | None, Parameter(help="A version such as 4, or a time such as 2026-03-01T02:17:05Z.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """A saga's state, rebuilt from its events: now, or as it was at a version or at a time.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    moment = None if at is None else read_moment(at)
    with open_ledger(options) as ledger:
        found = ledger.state(saga_id, moment)
    document = state_document(found)
    answer(options, document, lambda: [_headline(found), Table(("FIELD", "VALUE"), _told(document))])
    return ExitCode.OK


def diff(saga_id: str, a: str, b: str, /, *, options: Options = DEFAULTS) -> ExitCode:
    """What changed in a saga between two moments: the events in between, and each field that they changed.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    a
        The earlier moment: a version such as 4, or a time such as 2026-03-01T02:17:05Z.
    b
        The later moment.
    """
    moments = read_moment(a), read_moment(b)
    with open_ledger(options) as ledger:
        before, after = (ledger.state(saga_id, moment) for moment in moments)
        low, high = sorted((before.version, after.version))
        between = [r for r in ledger.history(saga_id, participants=False) if low < r.version <= high]
    changes = _changes(_leaves(state_document(before)), _leaves(state_document(after)))
    document = {
        "saga_id": saga_id,
        "a": {"version": before.version, "status": before.status},
        "b": {"version": after.version, "status": after.status},
        "events": [event_document(r) for r in between],
        "changes": changes,
    }
    headline = (
        f"{saga_id}: version {before.version} ({before.status}) → version {after.version} ({after.status}), "
        f"{counted(len(between), 'event')}, {counted(len(changes), 'field')} changed"
    )
    rows = [(change["field"], change["before"], change["after"]) for change in changes]
    answer(
        options,
        document,
        lambda: [
            headline,
            *([timeline(saga_id, between), Table(("FIELD", "BEFORE", "AFTER"), rows)] if changes else []),
        ],
    )
    return ExitCode.OK


def _headline(found: SagaState) -> str:
    return f"{found.saga_id}: {found.status} at version {found.version}, last changed {show_instant(found.updated_at)}"


def _told(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """What there is to say: of what never happened, nothing. `--json` has every field."""
    return [(field, value) for field, value in _leaves(document).items() if value not in UNTOLD]


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every value of a document by its path, such as `steps.process_payment.forward.attempt`."""
    if isinstance(value, dict) and value and path != "input":
        found: dict[str, Any] = {}
        for name, inner in value.items():
            found |= _leaves(inner, f"{path}.{name}" if path else name)
        return found
    return {path: value}


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"field": field, "before": before.get(field), "after": after.get(field)}
        for field in {**before, **after}
        if before.get(field, ABSENT) != after.get(field, ABSENT)
    ]
