"""Reading views: how far each is, its rows, and the rows that all have of one saga."""

from __future__ import annotations

from time import monotonic
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from ....domain.errors import InvalidInput
from ....projections.projection import Row
from ...errors import TimedOut
from ...ledger.changes import LedgerChanges
from ...ledger.changes import changes as changes_between
from ...ledger.context import LedgerContext
from ...ledger.freshness import head_position
from ...ledger.json_values import jsonable, jsonable_row
from ...ledger.past_views import query_at
from ...ledger.view_operations import view_checkpoints
from ...read_models.checkpoints import ABSENT, BUILDING
from ...read_models.condition import read_condition
from ...runtime.progress import ReportProgress
from ..answers import RowsAnswer, RowsOfView, SagaViewsAnswer
from ..endpoint import ApiAnswer, ApiRequest, Endpoint, Limit, PageQuery, read_cursor, write_cursor
from ..identity import Role
from ..limits import PAGE_ROWS, PAGE_ROWS_MAX, REQUEST_SECONDS
from ..listings import ViewList, ViewStatus
from ..moments import ViewAt
from ..problems import NOT_FOUND, RequestRefused


class RowsQuery(PageQuery, kw_only=True):
    """Which rows of a view."""

    where: Annotated[
        list[str], Meta(description="A condition such as total>100 or status=completed. Repeatable; all must hold.")
    ] = field(default_factory=list)
    attr: Annotated[list[str], Meta(description="Only rows whose saga has this search attribute. Repeatable.")] = field(
        default_factory=list
    )
    order: Annotated[
        list[str], Meta(description="Order by this column; descending with - before it. Repeatable.", max_length=20)
    ] = field(default_factory=list)
    at: ViewAt | None = None


class PastQuery(Struct, forbid_unknown_fields=True):
    """A moment of the log."""

    at: ViewAt | None = None


class ChangesQuery(Struct, forbid_unknown_fields=True):
    """Between which moments, and in which views."""

    since: ViewAt
    until: Annotated[ViewAt | None, Meta(description="Now, unless it is given.")] = None
    view: Annotated[list[str], Meta(max_length=100, description="Only this view. Repeatable.")] = field(
        default_factory=list
    )
    limit: Limit = PAGE_ROWS


def list_(request: ApiRequest) -> ApiAnswer:
    """How far each view has folded the log."""
    head = head_position(request.context)
    views = [
        ViewStatus(
            view=each.view,
            name=each.name,
            generation=each.generation,
            version=each.version,
            position=each.position,
            lag_events=max(head - each.position, 0),
            status=each.status,
            error=each.error,
            stopped_at_position=each.stopped_at_position,
            updated_at=each.updated_at,
            public=not each.is_beside and each.status != BUILDING,
        )
        for each in view_checkpoints(request.context)
    ]
    return ApiAnswer(ViewList(head_position=head, views=views))


def rows(request: ApiRequest) -> ApiAnswer:
    """Rows of a view, now or as it was."""
    context, view, query = request.context, request.path["view"], request.query
    _require_view(context, view)
    where = [read_condition(text) for text in query.where]
    if query.at is None:
        attributes = [read_condition(text) for text in query.attr] or None
        return ApiAnswer(rows_page(context, view, where, query.order, query.limit, query.after, attributes=attributes))
    if query.wait_for is not None or query.attr:
        raise InvalidInput("at asks for the past: leave out wait_for and attr, which are about what is recorded now")
    columns = context.queries.order_columns(view, query.order)
    found = query_at(
        context,
        view,
        query.at,
        report=_in_time(view),
        where=where,
        order=query.order,
        limit=query.limit,
        after=_after(query.after, columns),
    )
    head = head_position(context)
    return ApiAnswer(_page(view, found.rows, columns, query.limit, found.as_of_position, head))


def rows_page(
    context: LedgerContext,
    view: str,
    where: Any,
    order: Any,
    limit: int,
    cursor: str | None,
    *,
    attributes: Any = None,
) -> RowsAnswer:
    """Return a page of a view's rows. Raises what `Queries.query` raises."""
    columns = context.queries.order_columns(view, order)
    found = context.queries.query(
        view, where=where, attributes=attributes, order=order, limit=limit, after=_after(cursor, columns)
    )
    return _page(view, found.rows, columns, limit, found.as_of_position, found.head_position)


def of_saga(request: ApiRequest) -> ApiAnswer:
    """The rows that views have of one saga."""
    context, saga_id = request.context, request.path["saga_id"]
    context.queries.projection("sagas")
    at: str | None = request.query.at
    asked: dict[str, Any] = {"where": {"saga_id": saga_id}, "limit": PAGE_ROWS_MAX}
    found: list[RowsOfView] = []
    for each in view_checkpoints(context):
        if each.status in (ABSENT, BUILDING) or each.is_beside or "saga_id" not in context.queries.columns(each.view):
            continue
        result = (
            context.queries.query(each.view, **asked)
            if at is None
            else query_at(context, each.view, at, report=_in_time(each.view), **asked)
        )
        rows = [jsonable_row(row) for row in result.rows]
        found.append(RowsOfView(view=each.view, as_of_position=result.as_of_position, rows=rows))
    return ApiAnswer(SagaViewsAnswer(saga_id=saga_id, views=found))


def changes(request: ApiRequest) -> ApiAnswer:
    """What happened between two moments."""
    query: ChangesQuery = request.query
    found = changes_between(
        request.context,
        query.since,
        query.until,
        views=query.view or None,
        limit=query.limit,
        report=_in_time("sagas" if not query.view else query.view[0]),
    )
    return ApiAnswer(found)


def key_of(row: Row, columns: tuple[str, ...]) -> str:
    """Return the cursor of a page that ends with a row."""
    return write_cursor([jsonable(row[name]) for name in columns])


def _page(view: str, rows: list[Row], columns: tuple[str, ...], limit: int, position: int, head: int) -> RowsAnswer:
    return RowsAnswer(
        view=view,
        rows=[jsonable_row(row) for row in rows],
        next=key_of(rows[-1], columns) if len(rows) == limit else None,
        as_of_position=position,
        head_position=head,
        lag_events=head - position,
    )


def _after(cursor: str | None, columns: tuple[str, ...]) -> Row | None:
    values = read_cursor(cursor)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != len(columns):
        raise InvalidInput(f"{cursor!r} is the cursor of a page in another order: begin with the first page")
    return dict(zip(columns, values, strict=True))


def _require_view(context: LedgerContext, view: str) -> None:
    if not any(each.view == view for each in view_checkpoints(context)):
        raise RequestRefused(NOT_FOUND, f"there is no view {view!r}: GET /views lists those there are")


def _in_time(view: str) -> ReportProgress:
    """Return a report of progress that ends the folding of a view once the request has had its time."""
    deadline = monotonic() + REQUEST_SECONDS

    def report(position: int, wanted: int) -> None:
        if monotonic() > deadline:
            raise TimedOut(
                f"view {view!r} was folded up to position {position} of {wanted} after {REQUEST_SECONDS:g} seconds: "
                "`sagaledger query --at` has more time"
            )

    return report


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/views",
        role=Role.VIEWER,
        summary="How far each view has folded the log",
        handle=list_,
        answer=ViewList,
    ),
    Endpoint(
        method="GET",
        path="/views/{view}",
        role=Role.VIEWER,
        summary="Rows of a view, now or as it was",
        handle=rows,
        answer=RowsAnswer,
        query=RowsQuery,
        views=("{view}",),
        slow=True,
        problems=(404, 409),
    ),
    Endpoint(
        method="GET",
        path="/changes",
        role=Role.VIEWER,
        summary="What happened between two moments: events, sagas, and rows of views",
        handle=changes,
        answer=LedgerChanges,
        query=ChangesQuery,
        slow=True,
    ),
    Endpoint(
        method="GET",
        path="/sagas/{saga_id}/views",
        role=Role.VIEWER,
        summary="The rows that views have of one saga, now or as they were",
        handle=of_saga,
        answer=SagaViewsAnswer,
        query=PastQuery,
        slow=True,
        problems=(404, 409),
    ),
)
