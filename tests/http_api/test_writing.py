"""Writing through the API, on both databases: once for each key, by the principal, and never on what has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from sagaledger import Forbidden, Ledger, Principal, Role, Unauthenticated, WorkerThread
from sagaledger.infrastructure.api.asgi import asgi
from sagaledger.infrastructure.api.limits import BODY_BYTES_MAX

from .app import APP, Payout, payout
from .client import Client

NOTE = {"definition": "note", "input": "hello"}


def by_name(connection: HTTPConnection) -> Principal:
    """The principal that the header Authorization names, as an operator."""
    name = connection.headers.get("authorization", "")
    if not name:
        raise Unauthenticated("say who asks")
    if name == "mallory":
        raise Forbidden("mallory may do nothing")
    return Principal(name, Role.OPERATOR)


@pytest.fixture
def named(ledger: Ledger) -> Iterator[Client]:
    """A client whose requests name their principal."""
    with Client(asgi(ledger, authenticate=by_name)) as opened:
        yield opened


def test_a_repeat_has_the_first_answer(client: Client, ledger: Ledger, url: str) -> None:
    """Also from another server after a restart, and whatever has happened since; nothing is written again."""
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/sagas", NOTE),
        ("/sagas", {"definition": "payout", "input": {"number": "P1"}}),
        ("/sagas/payout-P1/signals", {"name": "hint", "payload": [1.5], "reason": "why not"}),
        ("/sagas/payout-P1/steps/approval/approve", {"reason": "it is right", "payload": "yes"}),
        ("/sagas/payout-P1/cancel", {"reason": "no, it is not"}),
        ("/sagas/batch", {"starts": [NOTE, NOTE, {"definition": "payout", "input": {"number": "P2"}}]}),
    ]
    first = [client.post(path, body, key=f"key {number}") for number, (path, body) in enumerate(asked)]
    head = ledger.backend.head().position

    with Ledger.open(url, APP) as restarted, Client(asgi(restarted)) as other:
        again = [other.post(path, body, key=f"key {number}") for number, (path, body) in enumerate(asked)]

    assert [response.status_code for response in first] == [201, 201, 202, 202, 202, 200]
    assert [(r.status_code, r.json()) for r in again[:-1]] == [(r.status_code, r.json()) for r in first[:-1]]
    assert [i["saga_id"] for i in again[-1].json()["items"]] == [i["saga_id"] for i in first[-1].json()["items"]]
    assert ledger.backend.head().position == head
    assert again[0].headers["location"] == f"/api/v1/sagas/{first[0].json()['saga_id']}"


def test_a_key_is_of_one_request_of_one_principal(named: Client) -> None:
    """Another request under it is refused, and another principal's key is another one."""
    ann, bob = {"Authorization": "ann"}, {"Authorization": "bob"}
    first = named.post("/sagas", NOTE, key="k", **ann)

    other = named.post("/sagas", NOTE | {"input": "bye"}, key="k", **ann)
    batch = named.post("/sagas/batch", {"starts": [NOTE]}, key="k", **ann)
    elsewhere = named.post(f"/sagas/{first.json()['saga_id']}/cancel", {"reason": "r"}, key="k", **ann)
    bobs = named.post("/sagas", NOTE, key="k", **bob)
    spaced = named.ask(
        "POST",
        "/sagas",
        content=json.dumps(dict(reversed(NOTE.items())), indent=4),
        headers={"Idempotency-Key": '"k"', "Content-Type": "application/json; charset=utf-8", **ann},
    )

    assert [each.status_code for each in (other, batch, elsewhere)] == [422, 422, 422]
    assert other.json()["type"] == "urn:sagaledger:problem:idempotency-key-reused"
    assert other.json()["position"] == first.json()["position"]
    assert bobs.json()["saga_id"] != first.json()["saga_id"]
    assert spaced.json() == first.json()


def test_requests_at_the_same_time_write_once(client: Client, ledger: Ledger) -> None:
    """The others are told that the first is being answered, or get its answer."""
    ask = ("POST", "/sagas", {"json": NOTE, "headers": {"Idempotency-Key": "k"}})
    responses = client.together(*[ask] * 10)

    assert {response.status_code for response in responses} <= {201, 409}
    assert any(response.status_code == 201 for response in responses)
    assert ledger.backend.head().position == 1


def test_the_actor_on_record_is_the_principal(named: Client, ledger: Ledger) -> None:
    """A body cannot name another one."""
    named.post("/sagas", {"definition": "payout", "input": {"number": "P1"}}, Authorization="ann")
    forged = named.post("/sagas/payout-P1/cancel", {"reason": "r", "actor": "eve"}, Authorization="bob")
    named.post("/sagas/payout-P1/cancel", {"reason": "r"}, Authorization="bob")

    assert (forged.status_code, "actor" in forged.json()["detail"]) == (422, True)
    started, cancelled = ledger.history("payout-P1")
    assert (started.meta.actor, started.event.actor) == ("ann", "ann")  # type: ignore[attr-defined]
    assert (cancelled.meta.actor, cancelled.event.actor) == ("bob", "bob")  # type: ignore[attr-defined]


def test_who_is_unknown_or_unwelcome_is_told_so(named: Client) -> None:
    """Without a body being read."""
    unknown, unwelcome = named.get("/me"), named.ask("GET", "/me", headers={"Authorization": "mallory"})

    assert (unknown.status_code, unknown.headers["www-authenticate"]) == (401, "Bearer")
    assert (unwelcome.status_code, unwelcome.json()["detail"]) == (403, "mallory may do nothing")


def test_a_decision_on_what_has_changed_is_refused(client: Client, ledger: Ledger) -> None:
    """Its If-Match names another version; the right one is taken."""
    ledger.start(payout, Payout("P1"), actor="ann")
    tag = client.get("/sagas/payout-P1").headers["etag"]
    ledger.signal("payout-P1", "hint", 1, actor="bob")

    stale = client.post("/sagas/payout-P1/cancel", {"reason": "r"}, If_Match=tag)
    wrong = client.post("/sagas/payout-P1/cancel", {"reason": "r"}, If_Match="2")
    fresh = client.post("/sagas/payout-P1/cancel", {"reason": "r"}, If_Match='"v2"')

    assert [each.status_code for each in (stale, wrong, fresh)] == [412, 400, 202]
    assert "is at version 2" in stale.json()["detail"]


def test_a_saga_that_needs_a_person_goes_on(client: Client, ledger: Ledger) -> None:
    """As it was decided; a decision that its state does not allow is refused with the reason."""
    ledger.start(payout, Payout("P1", "/no/such/bank"), actor="ann")
    client.post("/sagas/payout-P1/steps/approval/approve", {"reason": "it is right", "payload": "bob"})
    with WorkerThread(ledger) as worker:
        worker.idle()
        needless = client.post("/sagas/payout-P1/interventions", {"action": "retry", "reason": "r", "step": "reserve"})
        resolved = client.post(
            "/sagas/payout-P1/interventions", {"action": "resolve", "reason": "paid in cash", "result": "cash"}
        )
        done = client.json("/sagas/payout-P1/wait", timeout=20)

    assert (needless.status_code, needless.json()["type"]) == (409, "urn:sagaledger:problem:wrong-state")
    assert resolved.status_code == 202
    assert (done["status"], done["result"]) == ("completed", "cash")


def test_a_refusal_turns_the_saga_back(client: Client, ledger: Ledger) -> None:
    """And is on record with its reason."""
    ledger.start(payout, Payout("P1"), actor="ann")
    refused = client.post("/sagas/payout-P1/steps/approval/refuse", {"reason": "too much"})
    with WorkerThread(ledger) as worker:
        worker.idle()

    assert refused.status_code == 202
    assert client.json("/sagas/payout-P1")["status"] == "compensated"


def test_schedules_are_decided_about(client: Client, ledger: Ledger) -> None:
    """A repeat has the first answer: it names the same saga."""
    with WorkerThread(ledger):
        names = [each["schedule"] for each in client.json("/schedules")["schedules"]]
    paused = client.post("/schedules/hourly_note/pause", {"reason": "night"})
    again = client.post("/schedules/hourly_note/pause", {"reason": "night"})
    triggers = [client.post("/schedules/hourly_note/trigger", {"reason": "now"}, key="t") for _ in range(2)]
    resumed = client.post("/schedules/hourly_note/resume", {"reason": "day"})
    shown = client.json("/schedules/hourly_note", ticks=3)

    assert names == ["hourly_note"]
    assert [paused.status_code, again.status_code, resumed.status_code] == [202, 409, 202]
    assert triggers[0].json() == triggers[1].json()
    assert triggers[0].json()["saga_id"].startswith("note-hourly_note")
    assert (shown["status"], shown["waiting"], len(shown["next_ticks"])) == ("active", 1, 3)


def test_a_batch_starts_what_can_be_started(client: Client) -> None:
    """Each start has its own outcome."""
    starts: list[dict[str, Any]] = [NOTE, {"definition": "nothing"}, {"definition": "payout", "input": {"number": 3}}]
    done = client.post("/sagas/batch", {"starts": starts}).json()

    assert (done["started"], done["failed"]) == (1, 2)
    assert [item.get("problem", "").rpartition(":")[2] for item in done["items"]] == [
        "",
        "unknown-definition",
        "invalid-input",
    ]


@pytest.mark.parametrize(
    ("content", "headers", "status", "detail"),
    [
        (b"{}", {}, 400, "Idempotency-Key"),
        (b"{}", {"Idempotency-Key": "k" * 201}, 400, "200"),
        (b"{}", {"Idempotency-Key": "k", "Content-Type": "text/plain"}, 415, "'text/plain'"),
        (b"{", {"Idempotency-Key": "k"}, 400, "not JSON"),
        (b'"\xff"', {"Idempotency-Key": "k"}, 400, "UTF-8"),
        (b'{"definition": 3}', {"Idempotency-Key": "k"}, 422, "$.definition"),
        (b'{"definition": "note", "inputs": 3}', {"Idempotency-Key": "k"}, 422, "inputs"),
        (b'{"definition": "note", "input": 3}', {"Idempotency-Key": "k"}, 422, "note"),
        (b'{"definition": "note", "input": "x", "key": "a\\u0000b"}', {"Idempotency-Key": "k"}, 422, "printable"),
        (b'{"definition": "note", "input": "\\ud800"}', {"Idempotency-Key": "k"}, 400, "JSON"),
        (
            b'{"definition": "note", "input": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
            {"Idempotency-Key": "k"},
            422,
            "nest",
        ),
        (b'{"definition": "note", "input": "' + b"x" * 300_000 + b'"}', {"Idempotency-Key": "k"}, 413, "reference"),
        (b" " * (BODY_BYTES_MAX + 1), {"Idempotency-Key": "k"}, 413, "2,097,152"),
        (b'{"definition": "payments", "input": 1}', {"Idempotency-Key": "k"}, 404, "payments"),
    ],
)
def test_what_cannot_be_written_is_refused_and_writes_nothing(
    sqlite_url: str, content: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """With the reason, as a problem document."""
    with Ledger.open(sqlite_url, APP) as ledger, Client(asgi(ledger)) as client:
        typed = {"Content-Type": "application/json", **headers}
        response = client.ask("POST", "/sagas", content=content, headers=typed)

        assert ledger.backend.head().position == 0

    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert detail in response.json()["detail"]


def test_a_server_that_only_reads_refuses_to_write(sqlite_url: str) -> None:
    """Also an admin."""
    with Ledger.open(sqlite_url, APP) as ledger, Client(asgi(ledger, read_only=True)) as client:
        refused = client.post("/sagas", NOTE)

        assert (refused.status_code, refused.json()["type"]) == (403, "urn:sagaledger:problem:read-only")
        assert client.json("/me")["read_only"] is True
