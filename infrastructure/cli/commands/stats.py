"""`stats`: how sagas and their steps went, and what retries cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ...audit.statistics import Statistics, StatisticsFilter, read_statistics
from ...ledger.freshness import freshness, head_position
from ...read_models.condition import read_condition
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.remarks import freshness_remark
from ..output.table import Table
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

    Durations are percentiles in seconds. The time lost to retries is that from the begin of a step's first attempt to
    the begin of its last one. `beyond_2nd` counts the attempts after the second one of a step.
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
    yield Table(
        ("DEFINITION", "sagas", "statuses", "compensated", "p50", "p95", "p99"),
        [
            (each.definition, each.sagas, _counts(each.statuses), _share(each.compensation_rate), *_seconds(each))
            for each in found.definitions
        ],
    )
    if found.steps:
        yield ""
        yield Table(
            ("STEP", "attempts", "failed", "unknown", "retries", "beyond_2nd", "lost_s", "p50", "p95", "p99"),
            [
                (
                    _step(each),
                    each.attempts,
                    each.failed,
                    each.unknown,
                    each.retries,
                    each.beyond_second,
                    round(each.retry_seconds, 3),
                    *_seconds(each),
                )
                for each in found.steps
            ],
        )
    if found.retry_causes:
        yield ""
        yield Table(
            ("STEP", "error", "retries", "beyond_2nd", "sagas"),
            [(_step(each), each.error, each.retries, each.beyond_second, each.sagas) for each in found.retry_causes],
        )


def _step(of: Any) -> str:
    name = f"{of.definition}.{of.step}"
    return name if of.direction == "forward" else f"{name} (undo)"


def _counts(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items())


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"


def _seconds(of: Any) -> tuple[str, str, str]:
    p50, p95, p99 = (getattr(of.seconds, name) for name in ("p50", "p95", "p99"))
    return tuple("" if each is None else f"{each:.3f}" for each in (p50, p95, p99))  # type: ignore[return-value]
