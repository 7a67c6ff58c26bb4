"""Reading what a request carries, each part within its bounds: its query, its body, its headers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin
from urllib.parse import parse_qsl
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from ...domain.errors import InvalidInput
from ..ledger.write_request import WriteRequest
from .endpoint import INTEGER_MAX, Endpoint
from .identity import Principal
from .limits import BODY_SECONDS, KEY_CHARACTERS_MAX, PATH_BYTES_MAX, QUERY_BYTES_MAX
from .problems import (
    BAD_REQUEST,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INVALID,
    KEY_MISSING,
    NOT_JSON,
    QUERY_TOO_LONG,
    RequestRefused,
)

_REQUESTS: Final = UUID("3f0f7a4c-6c5e-5d0e-9f0b-8f1f5a1b7c2d")
"""The namespace of the append ids of requests. It never changes: the ids are in ledgers."""
_FINGERPRINT_CHARACTERS: Final = 32


def read_query(endpoint: Endpoint, scope: Mapping[str, Any]) -> Struct:
    """Return the parameters in the query. Raises `RequestRefused` for one that is unknown, given twice, or wrong."""
    raw: bytes = scope.get("query_string", b"")
    if len(raw) > QUERY_BYTES_MAX or len(scope.get("raw_path") or b"") > PATH_BYTES_MAX:
        raise RequestRefused(QUERY_TOO_LONG, f"a query may have {QUERY_BYTES_MAX:,} bytes, a path {PATH_BYTES_MAX:,}")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError as error:
        raise RequestRefused(
            BAD_REQUEST, "the query is not UTF-8 in percent encoding, or has too many fields"
        ) from error
    fields = {each.encode_name: each for each in msgspec.structs.fields(endpoint.query)}
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise RequestRefused(INVALID, f"there is no parameter {name[:100]!r}: known are {known}")
        if _is_list(fields[name].type):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise RequestRefused(INVALID, f"the parameter {name} is given twice: give it once")
        else:
            given[name] = value
    try:
        found: Struct = msgspec.convert(given, endpoint.query, strict=False)
    except msgspec.ValidationError as error:
        raise RequestRefused(INVALID, f"a parameter of the query is wrong: {error}") from error
    return found


async def read_body(endpoint: Endpoint, request: Request) -> tuple[Any, bytes]:
    """Return the body as the endpoint takes it, and as canonical JSON.

    Raises `RequestRefused` for one that is too large, too slow, no JSON, or not as declared.
    """
    if endpoint.body is None:
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            raise RequestRefused(BAD_REQUEST, "this takes no body: leave it out", {"connection": "close"})
        return None, b""
    content = await _receive(request, endpoint.body_bytes_max)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRefused(NOT_JSON, f"the body is of the type {kind[:100]!r}: send application/json")
    try:
        plain = msgspec.json.decode(content)
        return msgspec.json.decode(content, type=endpoint.body), msgspec.json.encode(plain, order="deterministic")
    except msgspec.ValidationError as error:
        raise RequestRefused(INVALID, f"the body is not as declared: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError) as error:
        raise RequestRefused(BAD_REQUEST, f"the body is not JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise RequestRefused(
            INVALID, "the body nests too deeply: store the value elsewhere and pass a reference"
        ) from error


def read_key(request: Request) -> str:
    """Return the idempotency key of a request. Raises `RequestRefused` without one."""
    key = request.headers.get("idempotency-key", "").strip()
    if key[:1] == key[-1:] == '"':  # as a structured header has it (RFC 8941)
        key = key[1:-1]
    if not key:
        raise RequestRefused(KEY_MISSING, "a request that writes needs the header Idempotency-Key")
    if len(key) > KEY_CHARACTERS_MAX or not key.isprintable():
        raise RequestRefused(BAD_REQUEST, f"an idempotency key has 1 to {KEY_CHARACTERS_MAX} printable characters")
    return key


def write_request(principal: Principal, key: str, request: Request, content: bytes) -> WriteRequest:
    """Return the identity of a request: that of its principal and key, with a fingerprint of what it asks for."""
    name = msgspec.json.encode([principal.name, key]).decode()
    asked = hashlib.sha256(msgspec.json.encode([request.method, request["sagaledger.path"]]) + content).hexdigest()
    return WriteRequest(uuid5(_REQUESTS, name), asked[:_FINGERPRINT_CHARACTERS], expected_version(request))


def expected_version(request: Request) -> int | None:
    """Return the version that If-Match names; None if any is right. Raises `RequestRefused` for what is no ETag."""
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    digits = text.removeprefix('"v').removesuffix('"')
    if text != f'"v{digits}"' or not (digits.isascii() and digits.isdigit() and int(digits[:20]) <= INTEGER_MAX):
        raise RequestRefused(BAD_REQUEST, 'If-Match takes the one ETag that the saga was read with, such as "v21"')
    return int(digits)


def etag(version: int) -> str:
    """Return the ETag of a saga at a version."""
    return f'"v{version}"'


def knows(request: Request, tag: str) -> bool:
    """Whether the client has what a tag names already (If-None-Match)."""
    known = request.headers.get("if-none-match")
    return known is not None and tag in {each.strip().removeprefix("W/") for each in known.split(",")}


async def _receive(request: Request, bytes_max: int) -> bytes:
    too_large = RequestRefused(BODY_TOO_LARGE, f"the body may have {bytes_max:,} bytes", {"connection": "close"})
    try:
        declared = int(request.headers.get("content-length", "0"))
    except ValueError as error:
        raise RequestRefused(BAD_REQUEST, "Content-Length is no number") from error
    if declared > bytes_max:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > bytes_max:
                    raise too_large
    except TimeoutError as error:
        detail = f"the body did not arrive within {BODY_SECONDS:g} seconds"
        raise RequestRefused(BODY_TIMEOUT, detail, {"connection": "close"}) from error
    except ClientDisconnect as error:
        raise InvalidInput("the client has gone") from error
    return bytes(content)


def _is_list(type_: Any) -> bool:
    if get_origin(type_) is list:
        return True
    return any(_is_list(each) for each in get_args(type_)[:1]) if hasattr(type_, "__metadata__") else False
