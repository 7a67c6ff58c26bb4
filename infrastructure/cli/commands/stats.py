"""`stats`: how sagas and their steps went, and what retries cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ....domain.saga.events import FORWARD
from ...audit.statistics import (
    Durations,
    RetryCause,
    Statistics,
    StatisticsFilter,
    StepStatistics,
    read_statistics,
)
from ...ledger.freshness import freshness, head_position
from ...read_models.condition import read_condition
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.remarks import freshness_remark
from ..output.table import Table
from ..output.text import counted
from ..output.timestamps import read_past
from ..session import bring_views_up, open_ledger


def stats(
    *,
    definition: Annotated[str | None, Parameter(help="Only sagas of this definition.")] = None,
    step: Annotated[str | None, Parameter(help="Only this step.")] = None,
    since: Annotated[str | None, Parameter(help="Only sagas started at this time or later.")] = None,
    until: Annotated[str | None, Parameter(help="Only sagas started before this time.")] = None,
    attr: Annotated[
        list[str] | None,
        Parameter(negative="", help="Only sagas with this search attribute, such as customer=C-1. Repeatable."),
    ] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """How sagas and their steps went: outcomes, durations, attempts, and the time lost to retries.

    Durations are percentiles in seconds. `failed` includes attempts whose worker died. `lost_s` is the time lost to
    retries: from the begin of a step's first attempt to the begin of its last one. `beyond_2nd` counts the attempts
    after the second one of a step. ↩ marks compensations.
    """
    wanted = StatisticsFilter(
        definition,
        step,
        None if since is None else read_past(since),
        None if until is None else read_past(until),
        [read_condition(text) for text in attr] if attr else None,
    )
    with open_ledger(options) as ledger:
        bring_views_up(ledger)
        found = read_statistics(ledger.context, wanted)
        head = max(head_position(ledger.context), found.position)
        fresh = freshness(ledger.context, found.view, found.position, head)
    document: dict[str, Any] = msgspec.to_builtins(found)
    answer(options, document, lambda: _blocks(found))
    if not options.json:
        say(freshness_remark(fresh, options))
    return ExitCode.OK


def _blocks(found: Statistics) -> Iterator[Block]:
    for number, each in enumerate(found.definitions):
        if number:
            yield ""
        yield f"{each.definition}: {counted(each.sagas, 'saga')}, {_counts(each.statuses)}"
        if each.compensation_rate is not None:
            p50, p95, p99 = _percentiles(each.seconds)
            yield f"  of those that ended, {each.compensation_rate:.1%} compensated; p50 {p50}, p95 {p95}, p99 {p99} s"
        yield from _of_steps(found, each.definition)


def _of_steps(found: Statistics, definition: str) -> Iterator[Block]:
    """Yield the tables of a definition's steps: on a narrow screen, too, each step has one line."""
    steps = [each for each in found.steps if each.definition == definition]
    causes = [each for each in found.retry_causes if each.definition == definition]
    if steps:
        yield Table(
            ("STEP", "tries", "failed", "retries", "lost_s", "p50", "p95", "p99"),
            [
                (
                    _named(each),
                    each.attempts,
                    each.failed + each.unknown,
                    each.retries,
                    f"{each.retry_seconds:.3f}",
                    *_percentiles(each.seconds),
                )
                for each in steps
            ],
        )
    if causes:
        yield ""
        yield Table(
            ("STEP", "retries", "beyond_2nd", "sagas", "because of"),
            [(_named(each), each.retries, each.beyond_second, each.sagas, each.error) for each in causes],
        )


def _named(each: StepStatistics | RetryCause) -> str:
    return each.step if each.direction == FORWARD.value else f"↩ {each.step}"


def _counts(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items())


def _percentiles(seconds: Durations) -> tuple[str, ...]:
    return tuple("" if each is None else f"{each:.3f}" for each in (seconds.p50, seconds.p95, seconds.p99))
