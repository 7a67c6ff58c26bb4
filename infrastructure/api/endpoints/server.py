"""The server itself: whether it lives, whether it is ready, and what it understands."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from ..endpoint import ApiAnswer, ApiRequest, Endpoint
from ..health import PROBE_SECONDS, readiness_problems
from ..identity import Role
from ..log_answers import Alive, Readiness
from ..problems import NOT_FOUND, RequestRefused


async def live(_: ApiRequest) -> ApiAnswer:
    """The event loop answers."""
    return ApiAnswer(Alive("alive"))


async def ready(request: ApiRequest) -> ApiAnswer:
    """Whether the database answers in time, and fits."""
    problems = [problem for check in request.server.checks if (problem := check()) is not None]
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            problems += await request.server.probe(partial(readiness_problems, request.context))
    except TimeoutError:
        problems.append(f"the database does not answer within {PROBE_SECONDS:g} second")
    return ApiAnswer(Readiness(ready=not problems, problems=problems), status=503 if problems else 200)


def metrics(request: ApiRequest) -> ApiAnswer:
    """The metrics of the server, and of the worker beside it."""
    if request.server.metrics is None:
        raise RequestRefused(NOT_FOUND, "this server has no metrics: it was started without telemetry")
    return ApiAnswer(Response(request.server.metrics(), media_type="text/plain; version=0.0.4"))


async def document(request: ApiRequest) -> ApiAnswer:
    """The OpenAPI document."""
    return ApiAnswer(Response(request.server.document.json(request.base), media_type="application/json"))


async def page(request: ApiRequest) -> ApiAnswer:
    """A page that shows the OpenAPI document. It loads nothing, and runs no script."""
    headers = {
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return ApiAnswer(Response(request.server.document.page(request.base), headers=headers, media_type="text/html"))


def _read(path: str, summary: str, handle: Any, answer: Any, role: Role | None = None, **more: Any) -> Endpoint:
    return Endpoint(method="GET", path=path, role=role, summary=summary, handle=handle, answer=answer, **more)


ENDPOINTS: Final = (
    _read("/livez", "Whether the server answers", live, Alive),
    _read("/readyz", "Whether the server can do its work", ready, Readiness, also=(503,)),
    _read(
        "/metrics",
        "The metrics, for Prometheus",
        metrics,
        str,
        Role.VIEWER,
        content_type="text/plain",
        problems=(404,),
    ),
    _read("/openapi.json", "This document", document, dict[str, Any]),
    _read("/docs", "This document as a page", page, str, content_type="text/html"),
)
