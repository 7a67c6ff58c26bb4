"""Sending an answer: its headers, its ETag, and the link to the next page."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from .endpoint import ApiAnswer, ApiRequest, Endpoint
from .reading_requests import etag, knows


def response_to(endpoint: Endpoint, answer: ApiAnswer, asked: ApiRequest, request: Request) -> Response:
    """Return the response that carries an answer."""
    if isinstance(answer.content, Response):
        return answer.content
    headers = {
        "x-content-type-options": "nosniff",
        "cache-control": "no-store" if answer.version is None else "no-cache",
    }
    if answer.version is not None:
        tag = headers["etag"] = etag(answer.version)
        if not endpoint.writes and knows(request, tag):
            return Response(status_code=304, headers=headers)
    if answer.location:
        headers["location"] = "/".join([asked.base, *(quote(part, safe="") for part in answer.location)])
    cursor = getattr(answer.content, "next", None)
    if cursor is not None:
        headers["link"] = f'<{_with_cursor(request, asked.base, cursor)}>; rel="next"'
    body = msgspec.json.encode(answer.content, enc_hook=str)
    return Response(body, answer.status or endpoint.status, headers, media_type="application/json")


def _with_cursor(request: Request, base: str, cursor: str) -> str:
    """Return the path and query of the next page."""
    pairs = [
        pair for pair in parse_qsl(request["query_string"].decode("ascii")) if pair[0] not in ("after", "wait_for")
    ]
    parts = request["sagaledger.path"]
    path = "/".join([base, *(quote(part, safe="") for part in parts)])
    return f"{path}?{urlencode([*pairs, ('after', cursor)])}"


def without_body(send: Send) -> Send:
    """Return what sends a response to HEAD: the same without its body."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head
