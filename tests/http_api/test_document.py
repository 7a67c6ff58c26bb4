"""The OpenAPI document: complete, true, and enough for others to ask the API everything that it allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schemathesis import checks

from sagaledger import Ledger, WorkerThread
from sagaledger.infrastructure.api.application import DOCUMENT
from sagaledger.infrastructure.api.asgi import asgi
from sagaledger.infrastructure.api.endpoints import ENDPOINTS

from .app import APP, Payout, payout
from .client import Client

EXAMPLES = 1
"""For each operation; 20 of them take a minute."""
AS_DECLARED = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
"""What must hold of each answer. That each input which its schema allows is accepted, must not: a schema does not say
which cursors or conditions there are."""
ENDLESS = "/events"
"""Its answer has no end: `test_events.py` reads it."""
NAMES = {"saga_id": "payout-P1", "view": "sagas", "step": "approval", "definition": "note", "schedule": "hourly_note"}


def _operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict({**DOCUMENT.content, "servers": [{"url": "/api/v1"}]})
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path != ENDLESS:
            yield operation


@pytest.fixture
def clients(sqlite_url: str, postgres_url: str) -> Iterator[list[Client]]:
    """A client on each database, with sagas of which one waits for approval and one needs a person, and a schedule."""
    with ExitStack() as stack:
        yield [_client(stack, url) for url in (sqlite_url, postgres_url)]


def _client(stack: ExitStack, url: str) -> Client:
    ledger = stack.enter_context(Ledger.open(url, APP))
    ledger.start(payout, Payout("P1"), actor="ann")
    ledger.start(payout, Payout("P2", "/no/such/bank"), actor="ann")
    ledger.approve("payout-P2", "approval", "yes", actor="bob", reason="it is right")
    with WorkerThread(ledger) as worker:
        worker.idle()
    ledger.projector().catch_up()
    return stack.enter_context(Client(asgi(ledger)))


def test_whatever_the_document_allows_is_answered_as_it_says(clients: list[Client]) -> None:
    """Every operation, with values from its schemas and with names that exist: no 500, and no answer undeclared."""
    asked = set()
    for operation in _operations():

        @seed(7)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            asked.add((case.operation.method.upper(), case.operation.path))
            for client, named in product(clients, (False, True)):
                response = _ask(client, case, named=named)
                assert response.status_code != 500, response.text
                case.validate_response(response, checks=AS_DECLARED)

        ask()

    assert asked == {(each.method, each.path) for each in ENDPOINTS if each.path != ENDLESS}


def _ask(client: Client, case: Any, *, named: bool) -> Any:
    parameters = {**(case.path_parameters or {}), **(NAMES if named else {})}
    path = case.operation.path
    for name, value in parameters.items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    query = dict(case.query or {})
    if "timeout" in {each.name for each in case.operation.query}:
        query["timeout"] = 0  # nothing is waited for
    more: dict[str, Any] = {}
    body = case.body
    if isinstance(body, dict | list):
        if named and isinstance(body, dict) and "definition" in body:
            body = {"definition": "note", "input": "hello"}
        more["content"] = json.dumps(body)
        more["headers"] = {"Content-Type": "application/json"}
    headers = {**(case.headers or {}), **more.pop("headers", {})}
    flat = [(name, each) for name, value in query.items() for each in (value if isinstance(value, list) else [value])]
    texts = [(name, str(each).lower() if isinstance(each, bool) else str(each)) for name, each in flat]
    return client.ask(case.operation.method.upper(), path, params=texts, headers=headers, **more)


def test_each_operation_names_its_role_and_its_problems() -> None:
    """And has a name of its own; one that writes needs an idempotency key."""
    operations = [each for path in DOCUMENT.content["paths"].values() for each in path.values()]

    assert len({each["operationId"] for each in operations}) == len(operations) == len(ENDPOINTS)
    for endpoint in ENDPOINTS:
        operation = DOCUMENT.content["paths"][endpoint.path][endpoint.method.lower()]
        assert operation.get("x-role") == (None if endpoint.role is None else endpoint.role.value)
        headers = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
        assert ("Idempotency-Key" in headers) == endpoint.writes == (endpoint.method == "POST")
        assert "application/problem+json" in operation["responses"]["422"]["content"]


def test_the_page_shows_every_endpoint_and_loads_nothing(client: Client) -> None:
    """No script, and no address of another machine."""
    response = client.get("/docs")

    assert response.headers["content-type"].startswith("text/html")
    assert all(endpoint.path in response.text for endpoint in ENDPOINTS)
    assert not any(word in response.text for word in ("<script", "http://", "https://", "src="))
    assert "default-src 'none'" in response.headers["content-security-policy"]
