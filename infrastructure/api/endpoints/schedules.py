"""Schedules: reading them, and deciding about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from ....domain.errors import DefinitionError
from ...ledger.schedule_documents import schedule_document
from ...ledger.schedules import ScheduleInfo, Schedules
from ..endpoint import ApiAnswer, ApiRequest, Endpoint, StatedReason
from ..identity import Role
from ..listings import ScheduleAnswer, ScheduleDecision, ScheduleList
from .saga_actions import stated

TICKS_SHOWN: Final = 5


class TicksQuery(Struct, forbid_unknown_fields=True):
    """What to show of a schedule."""

    ticks: Annotated[int, Meta(ge=1, le=1_000, description="How many of the next ticks.")] = TICKS_SHOWN


class ScheduleBody(Struct, forbid_unknown_fields=True):
    """Why this is decided."""

    reason: StatedReason


class BackfillBody(Struct, forbid_unknown_fields=True):
    """Which past ticks are to start, both ends included."""

    since: datetime
    until: datetime
    reason: StatedReason


def list_(request: ApiRequest) -> ApiAnswer:
    """Every schedule."""
    return ApiAnswer(ScheduleList([_answer(request, info) for info in Schedules(request.context).list()]))


def show(request: ApiRequest) -> ApiAnswer:
    """One schedule, and its next ticks."""
    schedules, name = Schedules(request.context), request.path["schedule"]
    answer = _answer(request, schedules.get(name))
    try:
        answer.next_ticks = list(schedules.next_ticks(name, request.query.ticks))
    except DefinitionError:  # they cannot be computed here
        answer.next_ticks = None
    return ApiAnswer(answer)


def pause(request: ApiRequest) -> ApiAnswer:
    """Stop a schedule's times."""
    return _decide(request, lambda schedules: schedules.pause)


def resume(request: ApiRequest) -> ApiAnswer:
    """Let a schedule go on."""
    return _decide(request, lambda schedules: schedules.resume)


def trigger(request: ApiRequest) -> ApiAnswer:
    """Start the saga of a schedule once, now."""
    name = request.path["schedule"]
    schedules = Schedules(request.context)
    saga_id = schedules.trigger(name, actor=request.principal.name, reason=stated(request.body.reason))
    return ApiAnswer(ScheduleDecision(schedule=name, position=None, saga_id=saga_id))


def backfill(request: ApiRequest) -> ApiAnswer:
    """Start the sagas of past ticks that do not exist."""
    name, body = request.path["schedule"], request.body
    asked = Schedules(request.context).backfill(
        name, body.since, body.until, actor=request.principal.name, reason=stated(body.reason)
    )
    return ApiAnswer(ScheduleDecision(schedule=name, position=asked.position, ticks=list(asked.ticks)))


def _decide(request: ApiRequest, operation: Callable[[Schedules], Callable[..., int]]) -> ApiAnswer:
    name = request.path["schedule"]
    decide = operation(Schedules(request.context))
    position = decide(name, actor=request.principal.name, reason=stated(request.body.reason))
    return ApiAnswer(ScheduleDecision(schedule=name, position=position))


def _answer(request: ApiRequest, info: ScheduleInfo) -> ScheduleAnswer:
    app = request.context.app
    return msgspec.convert(
        msgspec.to_builtins(schedule_document(info, app_in_use=bool(app.definitions)), enc_hook=str), ScheduleAnswer
    )


def _write(path: str, summary: str, handle: Any, body: Any) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/schedules/{{schedule}}/{path}",
        role=Role.OPERATOR,
        summary=summary,
        handle=handle,
        body=body,
        answer=ScheduleDecision,
        status=202,
        writes=True,
        problems=(404, 409),
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/schedules",
        role=Role.VIEWER,
        summary="The schedules, and when each starts its saga next",
        handle=list_,
        answer=ScheduleList,
    ),
    Endpoint(
        method="GET",
        path="/schedules/{schedule}",
        role=Role.VIEWER,
        summary="One schedule, and its next ticks",
        handle=show,
        answer=ScheduleAnswer,
        query=TicksQuery,
        problems=(404,),
    ),
    _write("pause", "Stop the schedule's times", pause, ScheduleBody),
    _write("resume", "Let the schedule go on", resume, ScheduleBody),
    _write("trigger", "Start its saga once, now", trigger, ScheduleBody),
    _write("backfill", "Start the sagas of past ticks", backfill, BackfillBody),
)
