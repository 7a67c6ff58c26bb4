"""Reading sagas: listing and counting them, and everything that is known of one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from ....domain.errors import InvalidInput
from ....domain.saga.state import SagaState
from ...ledger.documents import process_document, state_document
from ...ledger.moment import moment_of
from ...ledger.possible_actions import PossibleAction
from ...ledger.saga_causes import saga_causes
from ...ledger.saga_diff import diff_saga
from ...ledger.saga_history import read_history, saga_row
from ...ledger.saga_listing import SagaCursor, SagaFilter, count_by_status, list_sagas
from ...ledger.saga_overview import UnderivedProcess, saga_overview
from ...read_models.condition import read_condition
from ..answers import (
    AllowedAction,
    AttemptRow,
    CauseLink,
    CauseNode,
    CausesAnswer,
    DeliveryAnswer,
    DiffAnswer,
    DiffSide,
    FieldChange,
    HistoryAnswer,
    SagaAnswer,
    SagaCountsAnswer,
    SagaList,
    SagaRow,
)
from ..conversions import event, of_row, plain
from ..endpoint import (
    ApiAnswer,
    ApiRequest,
    Endpoint,
    Limit,
    PageCursor,
    Seconds,
    WaitingQuery,
    read_cursor,
    write_cursor,
)
from ..identity import Role
from ..limits import COUNTED_MAX, PAGE_ROWS, WAIT_SECONDS_MIN
from ..moments import SagaAt, Time, time_of

SagaStatusName: TypeAlias = Literal[
    "running", "waiting", "compensating", "completed", "compensated", "needs_intervention", "abandoned"
]
AttributeConditions: TypeAlias = Annotated[
    list[str],
    Meta(description="Only sagas with this search attribute, such as customer=C-1 or total>100. Repeatable."),
]
SAGAS: Final = ("sagas",)


class SagasFilter(WaitingQuery, kw_only=True):
    """Which sagas: every condition that is given must hold."""

    q: Annotated[str, Meta(max_length=900, description="With an id that begins so.")] | None = None
    status: SagaStatusName | None = None
    definition: str | None = None
    version: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    step: Annotated[str | None, Meta(description="At this step now.")] = None
    since: Annotated[Time | None, Meta(description="Started at this time or later.")] = None
    until: Annotated[Time | None, Meta(description="Started before this time.")] = None
    attr: AttributeConditions = field(default_factory=list)
    stalled: Annotated[bool, Meta(description="Choreographed, and silent for too long.")] = False


class SagasQuery(SagasFilter, kw_only=True):
    """A page of them."""

    limit: Limit = PAGE_ROWS
    after: PageCursor | None = None


class AtQuery(Struct, forbid_unknown_fields=True):
    """A moment."""

    at: SagaAt | None = None


class HistoryQuery(Struct, forbid_unknown_fields=True):
    """Which events of a saga."""

    participants: Annotated[bool, Meta(description="Also those of its participants and sub-sagas.")] = True
    limit: Limit = PAGE_ROWS
    after: PageCursor | None = None


class DiffQuery(Struct, forbid_unknown_fields=True):
    """The two moments that are compared."""

    a: SagaAt
    b: Annotated[SagaAt | None, Meta(description="Now, unless it is given.")] = None


class WaitQuery(Struct, forbid_unknown_fields=True):
    """How long to wait."""

    timeout: Seconds = 30.0


def filter_of(query: SagasFilter) -> SagaFilter:
    """Return the filter that a query means. Raises `InvalidInput`."""
    return SagaFilter(
        query.status,
        query.definition,
        time_of(query.since),
        time_of(query.until),
        datetime.now(UTC) if query.stalled else None,
        [read_condition(text) for text in query.attr] or None,
        query.version,
        query.step,
        query.q,
    )


def list_(request: ApiRequest) -> ApiAnswer:
    """A page of sagas."""
    query: SagasQuery = request.query
    cursor = read_cursor(query.after)
    if not isinstance(cursor, str | None):
        raise InvalidInput(f"{query.after!r} is no cursor of sagas: pass the one that the page before ended with")
    after = None if cursor is None else SagaCursor.parse(cursor)
    page = list_sagas(request.context, filter_of(query), limit=query.limit, after=after)
    return ApiAnswer(
        SagaList(
            sagas=[of_row(row, SagaRow) for row in page.rows],
            next=None if page.next is None else write_cursor(str(page.next)),
            as_of_position=page.position,
            head_position=page.head_position,
            lag_events=page.head_position - page.position,
        )
    )


def counts(request: ApiRequest) -> ApiAnswer:
    """How many sagas there are of each status."""
    found = count_by_status(request.context, filter_of(request.query), counted_max=COUNTED_MAX)
    return ApiAnswer(
        SagaCountsAnswer(
            counts=found.by_status,
            capped=found.capped,
            as_of_position=found.position,
            head_position=found.head_position,
            lag_events=found.head_position - found.position,
        )
    )


def show(request: ApiRequest) -> ApiAnswer:
    """One saga, now or as it was."""
    context, saga_id = request.context, request.path["saga_id"]
    at = None if request.query.at is None else moment_of(context, request.query.at)
    found = saga_overview(context, saga_id, at)
    if isinstance(found, UnderivedProcess):
        return ApiAnswer(_underived(found))
    return _answer(
        found.state,
        attempts=_attempts(found.attempts),
        allowed=[_allowed(action) for action in found.actions],
        attributes={name: list(values) for name, values in found.attributes.items()},
        choreography=None if found.process is None else plain(process_document(found.process)),
        unattended=found.unattended,
    )


def history(request: ApiRequest) -> ApiAnswer:
    """What was recorded of a saga."""
    saga_id, query = request.path["saga_id"], request.query
    found = read_history(request.context, saga_id, participants=query.participants)
    row = saga_row(request.context, saga_id) if found.state is None else None
    recorded: str | None = None if row is None else row["status"]
    status = recorded if found.state is None else found.state.status.value
    after = read_cursor(query.after) or [0, 0]
    if not (isinstance(after, list) and len(after) == 2 and all(isinstance(each, int) for each in after)):
        raise InvalidInput(f"{query.after!r} is no cursor of events: pass the one that the page before ended with")
    following = [entry for entry in found.entries if [entry.position, entry.version] > after]
    page = following[: query.limit]
    more = len(following) > len(page)
    cursor = write_cursor([page[-1].position, page[-1].version]) if more else None
    return ApiAnswer(HistoryAnswer(saga_id=saga_id, status=status, events=[event(each) for each in page], next=cursor))


def diff(request: ApiRequest) -> ApiAnswer:
    """What changed between two moments."""
    found = diff_saga(request.context, request.path["saga_id"], request.query.a, request.query.b)
    return ApiAnswer(
        DiffAnswer(
            saga_id=request.path["saga_id"],
            a=DiffSide(found.before.version, found.before.status.value),
            b=DiffSide(found.after.version, found.after.status.value),
            events=[event(each) for each in found.between],
            changes=[FieldChange(**change) for change in found.changes],
        )
    )


def causes(request: ApiRequest) -> ApiAnswer:
    """What led to what."""
    found = saga_causes(request.context, request.path["saga_id"])
    nodes = [CauseNode(each.position, each.stream_id, each.topic, each.recorded_at) for each in found.entries]
    edges = [CauseLink(*edge) for edge in found.edges]
    return ApiAnswer(CausesAnswer(saga_id=request.path["saga_id"], nodes=nodes, edges=edges))


async def wait(request: ApiRequest) -> ApiAnswer:
    """A saga, once it has ended or needs a person."""
    state = await request.server.waits.saga(request.path["saga_id"], max(request.query.timeout, WAIT_SECONDS_MIN))
    return _answer(state)


def _answer(state: SagaState, **more: Any) -> ApiAnswer:
    return ApiAnswer(msgspec.convert(state_document(state) | more, SagaAnswer), version=state.version)


def _attempts(rows: list[dict[str, Any]]) -> list[AttemptRow]:
    return [of_row(row, AttemptRow) for row in rows]


def _allowed(action: PossibleAction) -> AllowedAction:
    delivery = None if action.delivery is None else DeliveryAnswer(*action.delivery)
    return AllowedAction(action.name.value, action.why, action.step, delivery)


def _underived(found: UnderivedProcess) -> SagaAnswer:
    """Return what the view has of a saga whose choreography the server's app does not declare."""
    row = found.row or {}
    return SagaAnswer(
        saga_id=found.saga_id,
        status=row.get("status", "unknown"),
        version=row.get("events", 0),
        definition=row.get("definition", ""),
        definition_version=row.get("version", 0),
        style="choreographed",
        started_at=row.get("started_at"),
        updated_at=row.get("updated_at"),
        ended_at=row.get("ended_at"),
    )


def _read(path: str, summary: str, handle: Any, answer: Any, **more: Any) -> Endpoint:
    return Endpoint(method="GET", path=path, role=Role.VIEWER, summary=summary, handle=handle, answer=answer, **more)


ONE: Final = "/sagas/{saga_id}"
ENDPOINTS: Final = (
    _read("/sagas", "List sagas, newest first", list_, SagaList, query=SagasQuery, views=SAGAS),
    _read("/sagas/counts", "Count sagas by status", counts, SagaCountsAnswer, query=SagasFilter, views=SAGAS),
    _read(ONE, "Show one saga, now or as it was", show, SagaAnswer, query=AtQuery, versioned=True, problems=(404,)),
    _read(f"{ONE}/history", "All that was recorded", history, HistoryAnswer, query=HistoryQuery, problems=(404,)),
    _read(f"{ONE}/diff", "What changed between two moments", diff, DiffAnswer, query=DiffQuery, problems=(404,)),
    _read(f"{ONE}/causes", "Which event led to which", causes, CausesAnswer, problems=(404,)),
    _read(
        f"{ONE}/wait",
        "Wait until the saga has ended or needs a person",
        wait,
        SagaAnswer,
        query=WaitQuery,
        problems=(404,),
    ),
)
