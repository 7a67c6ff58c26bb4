"""`verify`: proof that nobody edited the log, and that every view equals it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter

from ....domain.errors import SagaledgerError
from ...event_store.verify import Problem, Verification, verify
from ...ledger.ledger import Ledger
from ...read_models.drift import drift
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.output import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..session import open_ledger
from ..usage import UsageError

HEAD = re.compile(r"(\d+):([0-9a-f]{64})", re.ASCII | re.IGNORECASE)


def verify_ledger(
    *,
    expect: Annotated[
        str | None, Parameter(help="A head that an earlier verify printed and that was kept elsewhere: POSITION:HASH.")
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Prove that nobody edited the log, and that every view equals it; exits 6 if not.

    Checked are every position, version, digest and link of the hash chain, and each row of each view. Without a head
    kept elsewhere, only accidental and partial edits are caught: whoever can rewrite everything can rewrite the chain.
    """
    head = None if expect is None else _read_head(expect)
    with open_ledger(options) as ledger:
        with progress("verifying the log") as report:
            found = verify(ledger.backend, expect=head, progress=report)
        problems = list(found.problems)
        if found.ok:  # a view of an edited log proves nothing
            problems += _drifting(ledger)
    document = {
        "ok": not problems,
        "events": found.events,
        "head_position": found.head_position,
        "head_hash": found.head_hash.hex(),
        "problems": [problem._asdict() for problem in problems],
    }
    answer(options, document, lambda: _report(found, problems))
    if problems:
        return ExitCode.VERIFICATION_FAILED
    if found.head_position == 0:
        say(f"there is nothing in {ledger.backend.name}: is that the ledger you meant?")
    elif not options.json and expect is None:
        again = options.again("verify", "--expect", f"{found.head_position}:{found.head_hash.hex()}")
        say(f"keep this head elsewhere, and prove later that nothing up to it was rewritten: {again}")
    return ExitCode.OK


def _drifting(ledger: Ledger) -> list[Problem]:
    """The views that are not what their events make of them."""
    problems: list[Problem] = []
    for projection in ledger.app.projections:
        with progress(f"verifying view {projection.name}") as report:
            try:
                found = drift(
                    ledger.context.queries, ledger.backend, ledger.context.codec, projection.name, progress=report
                )
            except SagaledgerError as error:
                problems.append(Problem(ledger.context.queries.checkpoint(projection.name).position, str(error)))
                continue
        if found.count:
            keys = ", ".join(str(tuple(difference.key.values())) for difference in found.differences[:3])
            more = "" if found.count <= len(found.differences[:3]) else ", …"
            problems.append(
                Problem(
                    found.position,
                    f"view {found.view}: {counted(found.count, 'row')} not as its events make it: {keys}{more} "
                    f"(`sagaledger projections drift {found.view}` lists them)",
                )
            )
    return problems


def _report(found: Verification, problems: list[Problem]) -> Iterable[Block]:
    head = f"{counted(found.events, 'event')}, head {found.head_position}:{found.head_hash.hex()}"
    if not problems:
        yield f"ok: {head}"
        return
    yield f"NOT ok: {counted(len(problems), 'problem')} in {head}"
    yield Table(("position", "problem"), problems, dict.fromkeys(range(len(problems)), "red"))


def _read_head(text: str) -> tuple[int, bytes]:
    match = HEAD.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--expect {text!r} is not POSITION:HASH as `sagaledger verify` prints it")
    return int(match[1]), bytes.fromhex(match[2])
