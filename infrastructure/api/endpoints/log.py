"""Reading the log, the decisions of people, statistics, and who asks."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from ....domain.errors import InvalidInput
from ...audit.decisions import ORDER, DecisionFilter, read_decisions, states_before
from ...audit.statistics import Statistics, StatisticsFilter, read_statistics
from ...ledger.documents import state_document
from ...ledger.freshness import head_position
from ...ledger.saga_history import read_entry
from ...read_models.condition import read_condition
from ..answers import ViewAnswer
from ..conversions import event, of_row, plain
from ..endpoint import (
    INTEGER_MAX,
    ApiAnswer,
    ApiRequest,
    Endpoint,
    Limit,
    PageQuery,
    WaitingQuery,
    read_cursor,
)
from ..identity import Role
from ..limits import PAGE_ROWS, PAGE_ROWS_MAX
from ..log_answers import DecisionDetail, DecisionList, LogHead, LogPage, MeAnswer
from ..moments import Time, time_of
from .sagas import AttributeConditions
from .views import key_of


class LogQuery(Struct, forbid_unknown_fields=True):
    """Which events of the log."""

    after: Annotated[
        int,
        Meta(
            ge=0,
            le=INTEGER_MAX - PAGE_ROWS_MAX,
            description="Only events after this position; with stream, after this version of the stream.",
        ),
    ] = 0
    limit: Limit = PAGE_ROWS
    topic: Annotated[list[str], Meta(max_length=100, description="Only events of this type. Repeatable.")] = []
    stream: Annotated[str | None, Meta(description="Only events of this stream.")] = None


class DecisionsQuery(PageQuery, kw_only=True):
    """Which decisions: every condition that is given must hold."""

    saga_id: str | None = None
    action: Literal["approve", "refuse", "signal", "cancel", "retry", "skip", "resolve", "abandon"] | None = None
    step: str | None = None
    actor: str | None = None
    since: Time | None = None
    until: Time | None = None
    attr: AttributeConditions = field(default_factory=list)


class StatisticsQuery(WaitingQuery, kw_only=True):
    """Which sagas are counted."""

    definition: str | None = None
    step: str | None = None
    since: Annotated[Time | None, Meta(description="Started at this time or later.")] = None
    until: Annotated[Time | None, Meta(description="Started before this time.")] = None
    attr: AttributeConditions = field(default_factory=list)


class StatisticsAnswer(ViewAnswer, kw_only=True):
    """How sagas and their steps went."""

    statistics: Statistics


def log(request: ApiRequest) -> ApiAnswer:
    """Events of the log, or of one stream."""
    context, query = request.context, request.query
    head = head_position(context)
    if query.stream is not None:
        rows = context.backend.stream(query.stream, after=query.after, upto=query.after + query.limit)
    else:
        rows = context.backend.read(query.after, limit=query.limit, topics=query.topic)
    wanted = [row for row in rows if not query.topic or row.topic in query.topic]
    last = 0 if not rows else rows[-1].position if query.stream is None else rows[-1].version
    return ApiAnswer(
        LogPage(
            head_position=max(head, rows[-1].position if rows else 0),
            events=[event(read_entry(context, row)) for row in wanted],
            next=str(last) if len(rows) == query.limit else None,
        )
    )


def head(request: ApiRequest) -> ApiAnswer:
    """The end of the log."""
    found = request.context.backend.head()
    return ApiAnswer(LogHead(position=found.position, hash=found.hash.hex(), recorded_at=found.recorded_at))


def decisions(request: ApiRequest) -> ApiAnswer:
    """Who decided what, and what there was to decide on."""
    query: DecisionsQuery = request.query
    wanted = DecisionFilter(
        query.saga_id,
        query.action,
        query.step,
        query.actor,
        time_of(query.since),
        time_of(query.until),
        [read_condition(text) for text in query.attr] or None,
    )
    columns = request.context.queries.order_columns("decisions", ORDER)
    values = read_cursor(query.after)
    if values is not None and not (isinstance(values, list) and len(values) == len(columns)):
        raise InvalidInput(f"{query.after!r} is no cursor of decisions")
    page = read_decisions(
        request.context,
        wanted,
        limit=query.limit,
        after=None if values is None else dict(zip(columns, values, strict=True)),
    )
    full = len(page.rows) == query.limit
    seen = states_before(request.context, page.rows)
    return ApiAnswer(
        DecisionList(
            decisions=[
                of_row({**row, "saw": None if saw is None else plain(state_document(saw))}, DecisionDetail)
                for row, saw in zip(page.rows, seen, strict=True)
            ],
            next=key_of(page.rows[-1], columns) if full else None,
            as_of_position=page.as_of_position,
            head_position=page.head_position,
            lag_events=page.lag_events,
        )
    )


def statistics(request: ApiRequest) -> ApiAnswer:
    """How sagas and their steps went."""
    query: StatisticsQuery = request.query
    found = read_statistics(
        request.context,
        StatisticsFilter(
            query.definition,
            query.step,
            time_of(query.since),
            time_of(query.until),
            [read_condition(text) for text in query.attr] or None,
        ),
    )
    at = max(head_position(request.context), found.position)
    return ApiAnswer(
        StatisticsAnswer(
            statistics=found, as_of_position=found.position, head_position=at, lag_events=at - found.position
        )
    )


def me(request: ApiRequest) -> ApiAnswer:
    """Who asks, and what the server is."""
    principal = request.principal
    return ApiAnswer(
        MeAnswer(
            name=principal.name,
            role=principal.role.value,
            read_only=request.server.read_only,
            version=version("sagaledger"),
        )
    )


def _read(path: str, role: Role, summary: str, handle: Any, answer: Any, **more: Any) -> Endpoint:
    return Endpoint(method="GET", path=path, role=role, summary=summary, handle=handle, answer=answer, **more)


ENDPOINTS: Final = (
    _read("/log", Role.AUDITOR, "Events of the log, in order", log, LogPage, query=LogQuery),
    _read("/log/head", Role.VIEWER, "The end of the log, and its hash", head, LogHead),
    _read(
        "/decisions",
        Role.VIEWER,
        "Who decided what, why, and on which state; the latest first",
        decisions,
        DecisionList,
        query=DecisionsQuery,
        views=("decisions",),
    ),
    _read(
        "/stats",
        Role.VIEWER,
        "How sagas and their steps went",
        statistics,
        StatisticsAnswer,
        query=StatisticsQuery,
        views=("sagas", "saga_steps"),
        slow=True,
    ),
    _read("/me", Role.VIEWER, "Who asks, and with which role", me, MeAnswer),
)
