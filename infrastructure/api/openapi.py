"""The OpenAPI 3.1 document, made from the list of endpoints and the types of their messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from html import escape
from importlib.metadata import version
from typing import Any, Final

import msgspec
from msgspec import Struct

from .endpoint import Endpoint
from .limits import KEY_CHARACTERS_MAX
from .problems import CONTENT_TYPE, ProblemDocument

_ANYWHERE: Final = (400, 401, 403, 409, 413, 414, 415, 422, 500, 501, 503, 504)
"""The statuses of problems with which any endpoint with a role may answer."""
_OPEN: Final = (400, 414, 422, 500, 503)
_NAMES: Final = {
    400: "The request is malformed",
    401: "The server does not know who asks",
    403: "The principal may not do this",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    409: "The state of the ledger does not allow this",
    412: "The saga has changed",
    413: "The body, or a value in it, is too large",
    414: "The path or the query is too long",
    415: "The body is not JSON",
    422: "The request does not fit what is declared",
    500: "There is a fault in the server, or in what is stored",
    501: "The server's app or database cannot do this",
    503: "The database or the server cannot be used now",
    504: "It did not happen in time",
}
_DESCRIPTION: Final = (
    "Sagas of one ledger: starting, reading and deciding about them. Answers from a view say as of which position of "
    "the log they are; `wait_for` with the position of a write reads that write. A request that writes has an "
    "Idempotency-Key: repeated with the same key, it is done once and has the same answer."
)


class OpenApiDocument:
    """The document of a list of endpoints."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    def json(self, base: str) -> bytes:
        """Return the document for an API that is mounted at this path."""
        return msgspec.json.encode({**self.content, "servers": [{"url": base}]})

    def page(self, base: str) -> str:
        """Return the document as a page of HTML, complete in itself."""
        parts = "".join(map(_section, self._endpoints))
        return _PAGE.format(base=escape(base), version=escape(version("sagaledger")), text=_DESCRIPTION, parts=parts)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The document without its address."""
        types = list(dict.fromkeys([*self._types(), ProblemDocument]))
        schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
        by_type = dict(zip(types, schemas, strict=True))
        paths: dict[str, dict[str, Any]] = {}
        for endpoint in self._endpoints:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_type)
        return {
            "openapi": "3.1.0",
            "info": {"title": "sagaledger", "version": version("sagaledger"), "description": _DESCRIPTION},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }

    def _types(self) -> Iterable[Any]:
        for endpoint in self._endpoints:
            yield endpoint.answer
            if endpoint.body is not None:
                yield endpoint.body


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    answer = {"description": endpoint.summary, "content": {endpoint.content_type: {"schema": schemas[endpoint.answer]}}}
    responses: dict[str, Any] = {str(status): dict(answer) for status in (endpoint.status, *endpoint.also)}
    if endpoint.versioned and not endpoint.writes:
        responses[str(endpoint.status)]["headers"] = {"ETag": {"schema": {"type": "string"}}}
        responses["304"] = {"description": "The client has this version"}
    if endpoint.status == 201:
        responses["201"]["headers"] = {"Location": {"schema": {"type": "string"}}}
    problem = {CONTENT_TYPE: {"schema": schemas[ProblemDocument]}}
    for status in sorted(
        {*(_OPEN if endpoint.role is None else _ANYWHERE), *endpoint.problems, *_of_writing(endpoint)}
    ):
        responses.setdefault(str(status), {"description": _NAMES[status], "content": problem})
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.path.split("/")[1]],
        "parameters": _parameters(endpoint),
        "responses": responses,
        "security": [] if endpoint.role is None else [{"bearer": []}, {}],
    }
    if endpoint.role is not None:
        operation["description"] = f"Needs the role {endpoint.role}."
        operation["x-role"] = endpoint.role.value
    if endpoint.body is not None:
        content = {"application/json": {"schema": schemas[endpoint.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _of_writing(endpoint: Endpoint) -> tuple[int, ...]:
    return (408, 412) if endpoint.writes and endpoint.versioned else (408,) if endpoint.writes else ()


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    return [*path, *_in_query(endpoint.query), *_headers(endpoint)]


def _in_query(query: type[Struct]) -> Iterable[dict[str, Any]]:
    (_,), components = msgspec.json.schema_components([query])
    schema = components[query.__name__]
    for name, value in schema["properties"].items():
        described = dict(value)
        alternatives = described.pop("anyOf", None)
        if alternatives is not None:  # a query has no null: what is left out is not there
            present = [each for each in alternatives if each.get("type") != "null"]
            described |= present[0] if len(present) == 1 else {"anyOf": present}
            if described.get("default", 0) is None:
                del described["default"]
        text = described.pop("description", None)
        parameter = {"name": name, "in": "query", "required": name in schema["required"], "schema": described}
        if described.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        yield parameter if text is None else {**parameter, "description": text}


def _headers(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    tag = {"type": "string", "pattern": r'^("v[0-9]{1,18}"|\*)$'}
    if endpoint.writes:
        key = {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX, "pattern": "^[!-~]+$"}
        text = "A value of your own for this request, such as a UUID; the same one when the request is repeated."
        yield {"name": "Idempotency-Key", "in": "header", "required": True, "schema": key, "description": text}
    if endpoint.versioned:
        name = "If-Match" if endpoint.writes else "If-None-Match"
        yield {"name": name, "in": "header", "required": False, "schema": tag}
    if endpoint.content_type == "text/event-stream":
        position = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
        yield {"name": "Last-Event-ID", "in": "header", "required": False, "schema": position}


def _section(endpoint: Endpoint) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}{', required' * each['required']}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>"
        for each in _parameters(endpoint)
    )
    parameters = f"<table>{rows}</table>" if rows else ""
    role = "anyone" if endpoint.role is None else endpoint.role.value
    return (
        f"<details><summary><b>{endpoint.method}</b> <code>{escape(endpoint.path)}</code> {escape(endpoint.summary)}"
        f"</summary><p>Role: {role}. Answers {endpoint.status}.</p>{parameters}{_fields('Body', endpoint.body)}"
        f"{_fields('Answer', endpoint.answer)}</details>"
    )


def _fields(title: str, type_: Any) -> str:
    if not (isinstance(type_, type) and issubclass(type_, Struct)):
        return ""
    (_,), components = msgspec.json.schema_components([type_], ref_template="{name}")
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(value))}</td></tr>"
        for name, value in components[type_.__name__]["properties"].items()
    )
    return f"<h4>{title}</h4><table>{rows}</table>"


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any JSON")


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sagaledger API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
summary {{ cursor: pointer; padding: .3rem 0; border-top: 1px solid #ccc; }}
table {{ border-collapse: collapse; }} td {{ padding: .15rem 1rem .15rem 0; vertical-align: top; }}
code {{ font-family: ui-monospace, monospace; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #ddd; }} a {{ color: #8cf; }} }}
</style></head><body>
<h1>sagaledger API</h1><p>Version {version}, at <code>{base}</code>. For programs:
<a href="openapi.json">openapi.json</a>.</p>
<p>{text}</p>{parts}</body></html>
"""
