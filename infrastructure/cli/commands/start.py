"""`start`: one saga is started, and waited for if that is wanted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ....domain.saga.state import SagaState, Status
from ...errors import TimedOut, Unavailable
from ...event_store.event_row import STATE_BYTES_MAX
from ...ledger.ledger import Ledger
from ...ledger.saga_start import Started
from ...ledger.view_operations import create_views
from ..arguments import WAIT_SECONDS, decode_json
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.documents import state_document
from ..output.remarks import worker_remark
from ..output.text import one_line
from ..output.timestamps import read_instant
from ..session import actor_or_user, open_or_create
from ..usage import UsageError

INPUT_BYTES_MAX = 4 * STATE_BYTES_MAX
"""How much of an input is read: JSON with white space is longer than what is stored of it, but not four times."""


def start(
    definition: str,
    /,
    *,
    input: Annotated[str, Parameter(help="The saga's input: JSON, @FILE, or - for stdin.", allow_leading_hyphen=True)],  # noqa: A002 -- --input
    id: Annotated[str | None, Parameter(help="Its key: the saga's id is DEFINITION-KEY.")] = None,  # noqa: A002 -- --id
    wait: Annotated[bool, Parameter(negative="", help="Wait for its end; exits 1 unless it completed.")] = False,
    timeout: Annotated[float, Parameter(help="How many seconds to wait.", validator=WAIT_SECONDS)] = 60.0,
    actor: Annotated[str | None, Parameter(help="Who starts it [default: the user of this shell].")] = None,
    at: Annotated[str | None, Parameter(help="Not before this time, UTC unless it has an offset.")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Start one saga, with the app that defines it. The same key and input again is the same saga; the same key with
    another input is a conflict.

    Parameters
    ----------
    definition
        The saga's definition, such as fulfil_order (`sagaledger definitions` shows them).
    """
    value = _read_input(input)
    begins_at = None if at is None else read_instant(at)
    with open_or_create(options) as ledger:
        started = ledger.start(definition, value, key=id, actor=actor_or_user(actor), begins_at=begins_at)
        _create_views(ledger)
        if wait:
            return _await_end(ledger, started, timeout, options)
        remark = worker_remark(ledger, options)
    answer(options, started._asdict(), lambda: [_text(started)])
    if remark:
        say(f"{started.saga_id} waits: {remark}")
    return ExitCode.OK


def _create_views(ledger: Ledger) -> None:
    """Create the views that are missing, so that `list` has the saga before a worker runs."""
    try:
        create_views(ledger.context)
    except Unavailable as error:
        say(f"the saga is started, but the tables of its views could not be created: {error}")


def _await_end(ledger: Ledger, started: Started, timeout_seconds: float, options: Options) -> ExitCode:
    try:
        state = ledger.wait(started.saga_id, timeout_seconds)
    except TimedOut as error:
        remark = worker_remark(ledger, options)
        raise TimedOut(f"{error}; {remark}" if remark else str(error)) from error
    answer(options, {**started._asdict(), **state_document(state)}, lambda: [_text(started), _ending(state)])
    if state.end is not Status.COMPLETED:
        say(f"why: {options.again('show', started.saga_id)}")
    return ExitCode.OK if state.end is Status.COMPLETED else ExitCode.FAILED


def _text(started: Started) -> str:
    how = "started" if started.created else "was started before,"
    return f"{started.saga_id} {how} at position {started.position}"


def _ending(state: SagaState) -> str:
    cause = state.cause or next((intervention.cause for intervention in state.interventions), None)
    return f"{state.saga_id} {state.status}" + (f": {one_line(cause)}" if cause else "")


def _read_input(given: str) -> Any:
    if given == "-":
        source, content = "stdin", sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    elif given.startswith("@"):
        source, content = given[1:], _read_file(Path(given[1:]))
    else:
        source, content = "--input", given.encode()
    if len(content) > INPUT_BYTES_MAX:
        raise UsageError(f"{source} is longer than {INPUT_BYTES_MAX:,} bytes: store it elsewhere and pass a reference")
    return decode_json(source, content)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(INPUT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise UsageError(f"the input {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
