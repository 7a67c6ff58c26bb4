"""`verify`: check that the log was not edited, and that everything beside it agrees with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter

from ...ledger.verification import LedgerVerification
from ...ledger.verification import verify_ledger as verify_log_and_views
from ..arguments import INTEGER_MAX
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import DIGITS_MAX
from ..session import open_ledger, shown_database
from ..usage import UsageError

HEAD = re.compile(r"(\d+):([0-9a-f]{64})", re.ASCII | re.IGNORECASE)


def verify_ledger(
    *,
    expect: Annotated[
        str | None, Parameter(help="A head that an earlier verify printed and that was kept elsewhere: POSITION:HASH.")
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Check that the log was not edited, and that everything beside it agrees with it; exits 6 if not.

    It checks every position, version, digest and link of the hash chain; snapshots, the work queue and definitions; and
    each row of each view that the app declares. Without a head that was kept elsewhere it finds accidental and partial
    edits only: a person who can rewrite everything can also rewrite the chain.
    """
    head = None if expect is None else _read_head(expect)
    with open_ledger(options) as ledger:
        found = verify_log_and_views(ledger.context, expect=head, progress=progress)
    position, hash_ = found.log.head_position, found.log.head_hash.hex()
    document = {
        "ok": not found.problems,
        "events": found.log.events,
        "head_position": position,
        "head_hash": hash_,
        "problems": [problem._asdict() for problem in found.problems],
        "views_not_compared": found.views_not_compared,
    }
    answer(options, document, lambda: _report(found))
    if found.views_not_compared and not options.json:
        say(
            f"not compared, because no app in use declares what they fold: {', '.join(found.views_not_compared)} "
            "(--app names it)"
        )
    if found.problems:
        return ExitCode.VERIFICATION_FAILED
    if position == 0:
        say(f"there is nothing in {shown_database(options)}: is that the ledger you meant?")
    elif not options.json and expect is None:
        again = options.again("verify", "--expect", f"{position}:{hash_}")
        say(f"keep this head elsewhere, and prove later that nothing up to it was rewritten: {again}")
    return ExitCode.OK


def _report(found: LedgerVerification) -> Iterable[Block]:
    log, problems = found.log, found.problems
    head = f"{counted(log.events, 'event')}, head {log.head_position}:{log.head_hash.hex()}"
    if not problems:
        yield f"ok: {head}"
        return
    yield f"NOT ok: {counted(len(problems), 'problem')} in {head}"
    yield Table(("position", "problem"), problems, dict.fromkeys(range(len(problems)), "red"))


def _read_head(text: str) -> tuple[int, bytes]:
    match = HEAD.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--expect {text!r} is not POSITION:HASH as `sagaledger verify` prints it")
    if len(match[1]) > DIGITS_MAX or int(match[1]) > INTEGER_MAX:
        raise UsageError(f"--expect {text[:40]}… has a position beyond the end of every log")
    return int(match[1]), bytes.fromhex(match[2])
