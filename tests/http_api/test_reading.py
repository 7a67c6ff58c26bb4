"""Reading through the API, on both databases: pages, one saga, views, and how far an answer is."""

from __future__ import annotations

import pytest

from sagaledger import Ledger
from sagaledger.infrastructure.api.endpoints import ENDPOINTS

from .app import note
from .client import Client

WITHOUT_PARAMETERS = [
    endpoint.path
    for endpoint in ENDPOINTS
    if endpoint.method == "GET"
    and "{" not in endpoint.path
    and endpoint.path not in ("/events", "/changes", "/metrics")
]


def test_everything_that_needs_no_name_is_answered(full: Client) -> None:
    """And each answer from a view says as of which position it is."""
    for path in WITHOUT_PARAMETERS:
        response = full.get(path)

        assert response.status_code == 200, response.text
        if "as_of_position" in response.text and path not in ("/openapi.json", "/docs"):
            assert response.json()["lag_events"] == 0, path


@pytest.mark.parametrize(
    ("path", "items", "query"),
    [
        ("/sagas", "sagas", {"status": "completed"}),
        ("/interventions", "interventions", {}),
        ("/decisions", "decisions", {}),
        ("/log", "events", {}),
        ("/sagas/payout-P1/history", "events", {}),
        ("/views/saga_steps", "rows", {"order": "-started_at"}),
        ("/views/sagas", "rows", {"where": "status=completed", "order": ["-ended_at", "definition"]}),
        ("/views/sagas", "rows", {"at": "@60", "order": "-started_at"}),
    ],
)
def test_the_pages_of_a_list_are_the_list(
    full: Client, path: str, items: str, query: dict[str, str | list[str]]
) -> None:
    """The header Link leads through all of it: nothing twice, nothing left out."""
    whole = full.json(path, limit=500, **query)[items]

    found, response = [], full.get(path, limit=max(len(whole) // 3, 1), **query)
    while True:
        found += response.json()[items]
        if "next" not in response.links:
            break
        response = full.ask("GET", f"http://localhost{response.links['next']['url']}")

    assert found == whole
    assert whole


def test_sagas_are_found_by_what_is_known_of_them(full: Client) -> None:
    """By status, definition, version, step, the begin of their ids, time, and search attributes."""

    def found(**query: str) -> int:
        return len(full.json("/sagas", limit=100, **query)["sagas"])

    assert found() == 15
    assert found(status="needs_intervention") == 1
    assert found(definition="note", version="1") == 12
    assert found(version="2") == 0
    assert found(step="approval") == 1
    assert found(q="note-n/1") == 3
    assert found(q="%") == 0
    assert found(since="1h", until="0s") == 15
    assert found(until="1h") == 0
    assert found(attr="bank=open") == 2
    assert full.json("/sagas/counts", definition="payout")["counts"] == {
        "completed": 1,
        "needs_intervention": 1,
        "waiting": 1,
    }


def test_a_saga_is_shown_with_what_can_be_done_about_it(full: Client) -> None:
    """An id may have a slash, and the version is the ETag."""
    waiting, parked = full.json("/sagas/payout-P2"), full.json("/sagas/payout-P0")
    response = full.get("/sagas/note-n%2F3")

    assert {action["action"] for action in waiting["allowed"]} == {"approve", "refuse", "cancel"}
    assert {action["action"] for action in parked["allowed"]} == {"retry", "skip", "resolve", "abandon"}
    assert [attempt["error"] for attempt in parked["attempts"] if attempt["step"] == "pay"] == [
        "ConnectionError: the bank is closed"
    ]
    assert response.json()["result"] == "note 3"
    assert response.json()["steps"]["write"]["forward"]["result"] == "note 3"
    assert response.headers["etag"] == f'"v{response.json()["version"]}"'


def test_a_version_that_is_known_is_not_sent_again(full: Client) -> None:
    """Another one is."""
    tag = full.get("/sagas/payout-P2").headers["etag"]

    known = full.ask("GET", "/sagas/payout-P2", headers={"If-None-Match": f'"v1", W/{tag}'})
    unknown = full.ask("GET", "/sagas/payout-P2", headers={"If-None-Match": '"v1"'})

    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert unknown.status_code == 200


def test_a_saga_is_shown_as_it_was(full: Client) -> None:
    """At a version, with the attempts of that time; and what changed since."""
    then = full.json("/sagas/payout-P1", at="v3")
    diff = full.json("/sagas/payout-P1/diff", a="v2", b="v3")

    assert (then["version"], [attempt["status"] for attempt in then["attempts"]]) == (3, ["started"])
    assert (diff["a"]["version"], diff["b"]["version"]) == (2, 3)
    assert len(diff["events"]) == 1
    assert diff["changes"]


def test_views_have_rows_of_a_saga_now_and_then(full: Client) -> None:
    """At the position of its start, its steps had not begun."""
    start = full.json("/sagas/payout-P1/history")["events"][0]["position"]

    now = {each["view"]: len(each["rows"]) for each in full.json("/sagas/payout-P1/views")["views"]}
    then = {each["view"]: len(each["rows"]) for each in full.json("/sagas/payout-P1/views", at=f"@{start}")["views"]}

    assert now["saga_steps"] == 3
    assert now["decisions"] == 1
    assert then == {name: int(name in ("sagas", "saga_attributes")) for name in now}


def test_the_causes_of_a_saga_are_a_graph(full: Client) -> None:
    """Its edges lead from earlier events to later ones."""
    found = full.json("/sagas/payout-P1/causes")
    positions = {node["position"] for node in found["nodes"]}

    assert found["edges"]
    assert all(edge["cause"] < edge["effect"] for edge in found["edges"])
    assert {edge["cause"] for edge in found["edges"]} <= positions


def test_a_wait_ends_with_the_saga_or_with_its_time(full: Client) -> None:
    """One that has ended is answered at once; one that waits for approval is told to be waiting still."""
    ended = full.json("/sagas/payout-P1/wait")
    late = full.get("/sagas/payout-P2/wait", timeout=0.05)

    assert ended["status"] == "completed"
    assert late.status_code == 504
    assert "is still waiting" in late.json()["detail"]


def test_ones_own_writes_are_read(client: Client, ledger: Ledger) -> None:
    """With the position of the write, once the view has folded it; before that, it says where the view stands."""
    position = client.post("/sagas", {"definition": "note", "input": "x", "key": "1"}).json()["position"]

    late = client.get("/sagas", wait_for=position, timeout=0.05)
    projector = ledger.projector()
    projector.start()
    found = client.json("/sagas", wait_for=position, timeout=20)
    projector.stop()

    assert late.status_code == 504
    assert "view 'sagas'" in late.json()["detail"]
    assert [saga["saga_id"] for saga in found["sagas"]] == ["note-1"]


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/sagas?limit=501", 422, "limit"),
        ("/sagas?limit=1&limit=2", 422, "given twice"),
        ("/sagas?statsu=completed", 422, "no parameter 'statsu'"),
        ("/sagas?after=bm90aGluZw", 422, "no cursor"),
        ("/sagas?since=yesterday", 422, "not a time"),
        ("/sagas?attr=total", 422, "COLUMN=VALUE"),
        ("/sagas?q=%ff", 400, "UTF-8"),
        ("/sagas/nothing", 404, "no saga 'nothing'"),
        ("/sagas/payout-P1?at=@1", 404, "began at"),
        ("/sagas/note-n%2F1?at=4", 422, "write @4"),
        ("/views/nothing", 404, "no view 'nothing'"),
        ("/views/sagas?where=nothing%3D1", 422, "no column 'nothing'"),
        ("/views/sagas?at=@99999", 422, "99999"),
        ("/views/sagas?after=WzEsMl0", 422, "another order"),
        ("/interventions?after=WzFd", 422, "no cursor"),
        ("/definitions/note/7", 404, "no version 7"),
        ("/schedules/nothing", 404, "no schedule 'nothing'"),
        ("/../../etc/passwd", 404, "nothing at"),
        ("/sagas?q=" + "x" * 20_000, 414, "16,384 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(full: Client, path: str, status: int, detail: str) -> None:
    """As a problem document, whose type is stable."""
    response = full.ask("GET", path)

    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    assert detail in problem["detail"]
    assert problem["status"] == status
    assert problem["type"].startswith("urn:sagaledger:problem:")


def test_a_method_that_a_path_does_not_take_is_refused(full: Client) -> None:
    """With those that it does; HEAD is a GET without a body."""
    refused, head = full.ask("DELETE", "/sagas"), full.ask("HEAD", "/sagas")

    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")
    assert (head.status_code, head.content) == (200, b"")


def test_the_events_of_one_stream_are_read_by_its_versions(full: Client) -> None:
    """A page of it begins after a version."""
    first = full.json("/log", stream="payout-P1", limit=3)
    rest = full.json("/log", stream="payout-P1", after=first["next"])

    assert [each["version"] for each in first["events"] + rest["events"]] == list(
        range(1, full.json("/sagas/payout-P1")["version"] + 1)
    )


def test_what_happened_between_two_moments(full: Client) -> None:
    """From before the first event until now, every saga started."""
    found = full.json("/changes", since="@0", view="sagas")

    assert found["sagas"]["started"] == 15
    assert found["events"]["SagaStarted"] == 15
    assert [view["view"] for view in found["views"]] == ["sagas"]


def test_interventions_of_one_cause_are_one_group(full: Client) -> None:
    """With their number."""
    [group] = full.json("/interventions/groups")["groups"]

    assert (group["definition"], group["step"], group["count"]) == ("payout", "pay", 1)
    assert group["cause"] == full.json("/interventions")["interventions"][0]["cause"]


def test_a_definition_says_which_input_it_takes(full: Client) -> None:
    """By a JSON schema, if the server's app has it."""
    found = full.json("/definitions/payout/1")

    assert (found["sagas"], found["unfinished"], found["state"]) == (3, 2, "registered")
    assert "number" in str(found["input"])
    assert note.definition.name in {each["definition"] for each in full.json("/definitions")["definitions"]}
