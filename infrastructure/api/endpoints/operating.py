"""Reading what an operator needs: interventions, services, dead letters, findings, workers, definitions, requests."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from ....domain.errors import InvalidInput
from ...choreography.service_status import service_statuses
from ...ledger.context import LedgerContext
from ...ledger.dead_letter_listing import ORDER, VIEW, list_dead_letters
from ...ledger.definition_documents import version_document
from ...ledger.definition_usage import count_sagas
from ...ledger.freshness import head_position, list_workers
from ...ledger.intervention_listing import InterventionFilter, group_interventions, list_interventions
from ...ledger.json_values import jsonable, jsonable_row
from ...ledger.put_back_sagas import put_back_sagas
from ...ledger.saga_listing import list_start_requests
from ...ledger.view_operations import view_checkpoints
from ..answers import RowsAnswer
from ..conversions import of_row
from ..endpoint import (
    ApiAnswer,
    ApiRequest,
    Endpoint,
    Limit,
    PageQuery,
    WaitingQuery,
    read_cursor,
    write_cursor,
)
from ..identity import Role
from ..limits import PAGE_ROWS
from ..listings import (
    DeadLetterList,
    DeadLetterRow,
    DefinitionAnswer,
    DefinitionList,
    InterventionGroupRow,
    InterventionGroups,
    InterventionList,
    InterventionRow,
    PutBackRow,
    ServiceList,
    ServiceRow,
    StartRequestList,
    StartRequestRow,
    WorkerList,
    WorkerRowAnswer,
)
from ..moments import time_of
from ..problems import NOT_FOUND, RequestRefused
from .views import key_of, rows_page

FINDINGS: Final = "findings"


class InterventionsQuery(PageQuery, kw_only=True):
    """Which interventions: every condition that is given must hold."""

    status: Literal["open", "resolved", "all"] = "open"
    definition: str | None = None
    step: str | None = None
    cause: Annotated[str, Meta(max_length=1_000, description="A part of the cause.")] | None = None


class DeadLettersQuery(PageQuery, kw_only=True):
    """Which dead letters; `open` is each that is not settled."""

    status: Literal["open", "retrying", "parked", "deferred", "settled", "all"] = "open"
    service: str | None = None


class FindingsQuery(PageQuery, kw_only=True):
    """Which findings."""

    saga_id: str | None = None


class RequestsQuery(Struct, forbid_unknown_fields=True):
    """How many requests."""

    limit: Limit = PAGE_ROWS


def interventions(request: ApiRequest) -> ApiAnswer:
    """Steps that need a person, or did."""
    after = read_cursor(request.query.after)
    if after is not None:
        if not (isinstance(after, list) and len(after) == 4 and all(isinstance(each, str) for each in after)):
            raise InvalidInput(f"{request.query.after!r} is no cursor of interventions")
        after = (time_of(after[0]), *after[1:])
    page = list_interventions(request.context, _wanted(request), limit=request.query.limit, after=after)
    full = len(page.rows) == request.query.limit
    return ApiAnswer(
        InterventionList(
            interventions=[InterventionRow(**row._asdict()) for row in page.rows],
            next=write_cursor([jsonable(each) for each in page.rows[-1].key]) if full else None,
            **_position(page.position, page.head_position),
        )
    )


def groups(request: ApiRequest) -> ApiAnswer:
    """Steps that need a person, by cause."""
    if request.query.after is not None:
        raise InvalidInput("groups have one page: leave out after, and raise limit")
    page = group_interventions(request.context, _wanted(request), limit=request.query.limit)
    found = [InterventionGroupRow(*row) for row in page.rows]
    return ApiAnswer(InterventionGroups(groups=found, **_position(page.position, page.head_position)))


def _wanted(request: ApiRequest) -> InterventionFilter:
    query: InterventionsQuery = request.query
    return InterventionFilter(query.status, query.definition, query.step, query.cause)


def services(request: ApiRequest) -> ApiAnswer:
    """How far each service of the app has handled the log."""
    found = [
        ServiceRow(
            service=each.service.name,
            position=each.position,
            lag_events=each.lag_events,
            retrying=each.retrying,
            deferred=each.deferred,
            parked=each.parked,
            reacts_to=list(each.service.topics),
        )
        for each in service_statuses(request.context)
    ]
    return ApiAnswer(ServiceList(head_position=head_position(request.context), services=found))


def dead_letters(request: ApiRequest) -> ApiAnswer:
    """Events that services could not handle."""
    query: DeadLettersQuery = request.query
    values = read_cursor(query.after)
    if values is not None and not (isinstance(values, list) and len(values) == len(ORDER)):
        raise InvalidInput(f"{query.after!r} is no cursor of dead letters")
    after = None if values is None else dict(zip(ORDER, values, strict=True))
    found = list_dead_letters(
        request.context, status=query.status, service=query.service, limit=query.limit, after=after
    )
    full = len(found.rows) == query.limit
    return ApiAnswer(
        DeadLetterList(
            dead_letters=[of_row(row, DeadLetterRow) for row in found.rows],
            next=key_of(found.rows[-1], ORDER) if full else None,
            **_position(found.as_of_position, found.head_position),
        )
    )


def findings(request: ApiRequest) -> ApiAnswer:
    """Events that their choreography does not allow."""
    context, query = request.context, request.query
    if not _exists(context, FINDINGS):
        head = head_position(context)
        return ApiAnswer(RowsAnswer(view=FINDINGS, rows=[], next=None, **_position(head, head)))
    where = {} if query.saga_id is None else {"saga_id": query.saga_id}
    return ApiAnswer(rows_page(context, FINDINGS, where, ("-found_at",), query.limit, query.after))


def workers(request: ApiRequest) -> ApiAnswer:
    """The workers of the ledger, and the sagas that one could not read."""
    found = [
        WorkerRowAnswer(
            worker=each.worker_id,
            host=each.host,
            pid=each.pid,
            sagas=each.sagas,
            started_at=each.started_at,
            lease_until=each.lease_until,
        )
        for each in list_workers(request.context)
    ]
    put_back = [
        PutBackRow(
            saga_id=each.saga_id,
            definition=each.definition,
            version=each.definition_version,
            due_at=each.due_at,
            why=each.why,
        )
        for each in put_back_sagas(request.context)
    ]
    return ApiAnswer(WorkerList(workers=found, put_back=put_back))


def definitions(request: ApiRequest) -> ApiAnswer:
    """Every version of every definition."""
    usage = count_sagas(request.context)
    listed = [_definition(version_document(version)) for version in usage.versions]
    head = max(head_position(request.context), usage.as_of_position)
    return ApiAnswer(DefinitionList(definitions=listed, **_position(usage.as_of_position, head)))


def definition(request: ApiRequest) -> ApiAnswer:
    """One version of a definition."""
    name, version = request.path["definition"], request.path["version"]
    for each in count_sagas(request.context).versions:
        if each.name == name and str(each.version) == version:
            return ApiAnswer(_definition(version_document(each)))
    raise RequestRefused(NOT_FOUND, f"there is no version {version} of {name!r}: GET /definitions lists all")


def requests(request: ApiRequest) -> ApiAnswer:
    """Sagas that programs asked for in their own transactions."""
    rows = [
        StartRequestRow(
            request_id=each.request_id,
            saga_id=each.saga_id,
            definition=each.definition,
            definition_version=each.definition_version,
            status="open" if each.refused_at is None else "refused",
            requested_at=each.requested_at,
            begins_at=each.begins_at,
            actor=each.actor,
            refused_at=each.refused_at,
            reason=each.reason,
        )
        for each in list_start_requests(request.context, limit=request.query.limit)
    ]
    return ApiAnswer(StartRequestList(requests=rows))


def _definition(document: dict[str, Any]) -> DefinitionAnswer:
    return msgspec.convert(msgspec.to_builtins(jsonable_row(document), enc_hook=str), DefinitionAnswer)


def _exists(context: LedgerContext, view: str) -> bool:
    return any(each.name == view for each in view_checkpoints(context))


def _position(position: int, head: int) -> dict[str, int]:
    return {"as_of_position": position, "head_position": head, "lag_events": head - position}


def _read(path: str, summary: str, handle: Any, answer: Any, **more: Any) -> Endpoint:
    return Endpoint(method="GET", path=path, role=Role.VIEWER, summary=summary, handle=handle, answer=answer, **more)


_PARKED: Final = {"query": InterventionsQuery, "views": ("interventions", "sagas")}

ENDPOINTS: Final = (
    _read("/interventions", "Steps that need a person", interventions, InterventionList, **_PARKED),
    _read("/interventions/groups", "Steps that need a person, by cause", groups, InterventionGroups, **_PARKED),
    _read("/services", "How far each service is", services, ServiceList),
    _read(
        "/deadletters",
        "Events that services could not handle",
        dead_letters,
        DeadLetterList,
        query=DeadLettersQuery,
        views=(VIEW,),
    ),
    _read(
        "/findings",
        "Events that their choreography does not allow",
        findings,
        RowsAnswer,
        query=FindingsQuery,
        views=(FINDINGS,),
    ),
    _read("/workers", "The workers, and the sagas that one could not read", workers, WorkerList),
    _read(
        "/definitions",
        "The versions of definitions, and how many sagas each holds",
        definitions,
        DefinitionList,
        query=WaitingQuery,
        views=("sagas",),
    ),
    _read(
        "/definitions/{definition}/{version}",
        "One version of a definition",
        definition,
        DefinitionAnswer,
        problems=(404,),
    ),
    _read("/requests", "Sagas asked for in other transactions", requests, StartRequestList, query=RequestsQuery),
)
