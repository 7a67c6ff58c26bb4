"""Auditing from the command line, on real orders."""

from __future__ import annotations

import pytest

from .shell import Shell

DECLINED = "fulfil_order-536366"


def test_list_filters_by_status_and_pages_through_all(shop: Shell) -> None:
    """Each page goes on where the one before ended, and together they are every compensated saga once."""
    first = shop.json("list", "--status", "compensated", "--limit", "6")
    second = shop.json("list", "--status", "compensated", "--limit", "6", "--after", first["next"])

    ids = [saga["saga_id"] for saga in first["sagas"] + second["sagas"]]
    assert len(ids) == len(set(ids)) == 11
    assert {saga["status"] for saga in first["sagas"]} == {"compensated"}
    assert second["next"] is None


def test_list_filters_by_time(shop: Shell) -> None:
    """Sagas that started outside the given time are not listed; an empty list is []."""
    assert shop.json("list", "--until", "2011-01-01")["sagas"] == []
    assert len(shop.json("list", "--since", "2011-01-01", "--limit", "200")["sagas"]) == 100


def test_list_filters_by_definition(shop: Shell) -> None:
    """Only the returns, if only those are asked for."""
    assert len(shop.json("list", "--definition", "return_goods")["sagas"]) == 6


def test_show_tells_every_attempt_and_the_cause(shop: Shell) -> None:
    """One screen says why the order was cancelled and what was undone."""
    screen = shop("show", DECLINED).stdout
    document = shop.json("show", DECLINED)

    assert "compensated" in screen.splitlines()[0]
    assert "StepRejected: payment declined" in screen
    assert [(a["step"], a["direction"], a["status"]) for a in document["attempts"]] == [
        ("reserve_inventory", "forward", "succeeded"),
        ("process_payment", "forward", "failed"),
        ("reserve_inventory", "compensation", "succeeded"),
    ]


def test_history_indents_participants_and_marks_what_undoes(shop: Shell) -> None:
    """A person sees whose event it is, and which way the saga goes."""
    lines = shop("history", DECLINED).stdout.splitlines()

    assert any("└ InventoryReserved" in line for line in lines)
    assert any("↩ StepCompensated" in line for line in lines)
    assert not any("↩ StepSucceeded" in line for line in lines)


def test_history_has_both_numbers_of_each_event(shop: Shell) -> None:
    """Its position in the log, and its version in its stream, by either of which a moment can be named."""
    events = shop.json("history", DECLINED)["events"]
    _, *lines = shop("history", DECLINED).stdout.splitlines()
    assert [(int(line.split()[1]), int(line.split()[-1])) for line in lines] == [
        (event["position"], event["version"]) for event in events
    ]


def test_history_in_json_has_everything_that_the_log_has(shop: Shell) -> None:
    """Positions grow, versions of the saga's own stream are contiguous, and each event carries its data."""
    events = shop.json("history", DECLINED)["events"]

    own = [event for event in events if event["stream_id"] == DECLINED]
    assert [event["version"] for event in own] == list(range(1, len(own) + 1))
    assert [event["position"] for event in events] == sorted(event["position"] for event in events)
    assert events[0]["event"] == "SagaStarted"
    assert events[0]["data"]["input"]["order_id"] == "536366"
    assert all(event["recorded_at"].endswith("Z") for event in events)


def test_history_comes_in_pages_if_asked(shop: Shell) -> None:
    """Each page says how many events follow, and after which position; together they are all."""
    whole = [event["position"] for event in shop.json("history", DECLINED)["events"]]
    first = shop("history", DECLINED, "--limit", "3").stderr
    positions = [event["position"] for event in shop.json("history", DECLINED, "--limit", "3")["events"]]

    rest = shop.json("history", DECLINED, "--after", str(positions[-1]))["events"]

    assert f"there are {len(whole) - 3} more: add --after {positions[-1]}" in first
    assert [*positions, *(event["position"] for event in rest)] == whole


def test_history_without_participants_is_the_sagas_own(shop: Shell) -> None:
    """What its participants recorded is left out when it is not wanted."""
    events = shop.json("history", DECLINED, "--no-participants")["events"]
    assert {event["stream_id"] for event in events} == {DECLINED}


def test_state_at_a_version_and_at_a_time_are_the_same_state(shop: Shell) -> None:
    """A version, and the instant at which it was recorded, name the same moment."""
    events = shop.json("history", DECLINED, "--no-participants")["events"]
    at_version = shop.json("state", DECLINED, "--at", "v3")

    at_time = shop.json("state", DECLINED, "--at", events[2]["recorded_at"])
    assert at_version["version"] == 3
    assert {**at_time, "at": at_version["at"], "as_of_position": events[2]["position"]} == at_version
    assert (at_time["at"], at_version["at"]) == (events[2]["recorded_at"], "v3")
    assert shop.json("state", DECLINED)["status"] == "compensated"


def test_each_command_shows_a_saga_as_it_was_at_a_position(shop: Shell) -> None:
    """With a line, and keys, that say which moment it is; the next command leads back to the present."""
    events = shop.json("history", DECLINED)["events"]
    failed = next(event for event in events if event["event"] == "StepFailed")
    at = f"@{failed['position']}"
    said = f"as it was at {at}: version {failed['version']} of 8, position {failed['position']} of the log"

    for command in ("show", "history", "state"):
        document = shop.json(command, DECLINED, "--at", at)
        asked = (document["at"], document["as_of_position"], document["as_of_version"], document["status"])
        assert asked == (at, failed["position"], failed["version"], "compensating"), command
        assert shop(command, DECLINED, "--at", at).stdout.splitlines()[0] == said
    then = shop.json("show", DECLINED, "--at", at)
    assert (then["failed_step"], then["error"]) == ("process_payment", "StepRejected: payment declined")
    assert [attempt["status"] for attempt in then["attempts"]] == ["succeeded", "failed"]
    assert then["next"] == [f"this is the past; as it is now: sagaledger show {DECLINED}"]
    history = shop.json("history", DECLINED, "--at", at)["events"]
    assert history == [event for event in events if event["position"] <= failed["position"]]


def test_what_failed_a_saga_is_the_same_in_every_answer(shop: Shell) -> None:
    """In the view, in a list, and of the one saga; nothing of one that completed."""
    [row] = shop.json("query", "sagas", f"saga_id={DECLINED}")["rows"]
    [listed] = [saga for saga in shop.json("list", "--limit", "200")["sagas"] if saga["saga_id"] == DECLINED]
    shown = shop.json("show", DECLINED)

    for document in (row, listed, shown):
        assert (document["failed_step"], document["error"]) == ("process_payment", "StepRejected: payment declined")
    assert shop.json("query", "sagas", "status=completed", "failed_step is not null")["rows"] == []


def test_the_second_moment_of_a_diff_is_now_unless_it_is_given(shop: Shell) -> None:
    """Up to the last version."""
    last = shop.json("state", DECLINED)["version"]
    assert shop.json("diff", DECLINED, "v4") == shop.json("diff", DECLINED, "v4", f"v{last}")


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("state", DECLINED, "--at", "4"), 2, "4 alone is no moment: write @4 for a position of the log, v4 for a"),
        (("history", DECLINED, "--at", "v9"), 2, f"v9 is beyond the end of saga '{DECLINED}': its last version is v8"),
        (("show", DECLINED, "--at", "@1000000"), 2, "@1000000 is beyond the end of the log: its last position is @"),
        (("diff", DECLINED, "v1", "2999-01-01"), 2, "2999-01-01T00:00:00.000000Z is in the future: now it is 2"),
        (("show", DECLINED, "--at", "@1"), 3, "at @1 it had not begun; it began at 2"),
        (("history", DECLINED, "--at", "520w"), 3, "it had not begun; it began at 2"),
        (
            ("query", "sagas", "--at", "v4"),
            2,
            "v4 is a version of one saga, and this is about the whole log: give @1897",
        ),
        (
            ("changes", "@9", "@5"),
            2,
            "the first moment is @9, after the second, which is @5: give the earlier one first",
        ),
    ],
)
def test_a_moment_that_was_not_is_refused(shop: Shell, words: tuple[str, ...], code: int, problem: str) -> None:
    """One line says why, and what there is."""
    done = shop(*words)

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1)
    assert problem in done.stderr


def test_diff_shows_the_events_and_the_fields_between_two_versions(shop: Shell) -> None:
    """What happened in between, and what it changed, field by field."""
    document = shop.json("diff", DECLINED, "v4", "v5")

    assert [event["event"] for event in document["events"]] == ["StepFailed"]
    changed = {change["field"]: (change["before"], change["after"]) for change in document["changes"]}
    assert changed["steps.process_payment.forward.progress"] == ("running", "failed")
    assert changed["status"] == ("running", "compensating")


@pytest.mark.parametrize("command", [["show"], ["history"], ["state"], ["diff"], ["cancel"]])
def test_an_unknown_saga_is_not_found(shop: Shell, command: list[str]) -> None:
    """One line names the saga and how to find those there are; exit code 3."""
    more = {"diff": ["v1", "v2"], "cancel": ["--reason", "wrong"]}.get(command[0], [])
    done = shop(*command, "fulfil_order-nope", *more)

    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "sagaledger: there is no saga 'fulfil_order-nope': `sagaledger list` shows those there are"
    ]


def test_a_saga_before_it_began_is_not_found(shop: Shell) -> None:
    """Asking for a time before its start says when it began."""
    done = shop("state", DECLINED, "--at", "2011-01-01")
    assert done.returncode == 3
    assert "it began at" in done.stderr


def test_changes_tells_events_sagas_and_rows(shop: Shell) -> None:
    """From the start of an order's saga to its end: the text and the document say the same."""
    history = shop.json("history", DECLINED)["events"]
    words = ("changes", f"@{history[0]['position'] - 1}", f"@{history[-1]['position']}", "--limit", "1000")

    document = shop.json(*words, "--app", "shop")
    done = shop(*words, "--app", "shop")

    lines = done.stdout.splitlines()
    views = {view["view"]: view for view in document["views"]}
    assert document["since"]["position"] == history[0]["position"] - 1
    assert sum(document["events"].values()) == history[-1]["position"] - history[0]["position"] + 1
    assert lines[0].endswith(f": {sum(document['events'].values()):,} events")
    assert {"saga_id": DECLINED, "definition": "fulfil_order", "before": None, "after": "compensated"} in document[
        "sagas"
    ]["listed"]
    assert any(line.split() == [DECLINED, "compensated"] for line in lines)
    [order] = [row for row in views["orders"]["rows"] if row["key"] == {"order_id": "536366"}]
    assert (order["before"], order["after"]["status"]) == (None, "cancelled")
    assert any(line.startswith("+  536366  ") and "status cancelled" in line for line in lines)
    assert f"view orders: {views['orders']['added']} added, {views['orders']['changed']} changed, 0 removed" in lines
    assert document["not_compared"] == {}


def test_changes_of_one_step_shows_what_a_row_was(shop: Shell) -> None:
    """Only the columns that changed, and no view in which nothing did."""
    history = shop.json("history", DECLINED)["events"]
    failed = next(event for event in history if event["event"] == "StepFailed")["position"]

    done = shop("changes", f"@{failed - 1}", f"@{failed}", "--view", "saga_steps", "--view", "interventions")

    assert [line.split() for line in done.stdout.splitlines()[2:4]] == [["EVENT", "COUNT"], ["StepFailed", "1"]]
    [row] = [line for line in done.stdout.splitlines() if line.startswith("~")]
    assert row.startswith(f"~  {DECLINED} process_payment forward 1  status started → failed, ended_at none → ")
    assert "error none → StepRejected: payment declined" in row
    assert "nothing changed in interventions" in done.stderr


def test_changes_says_what_it_left_out(shop: Shell) -> None:
    """Rows beyond the limit, and views whose app is not named."""
    done = shop("changes", "@0", "--limit", "2")

    assert "only the first 2 of 100 sagas: --limit asks for more" in done.stderr
    assert "sagas: only the first 2 of 100 rows: --limit asks for more" in done.stderr
    assert "shipments: --app names the app that declares it; the one in use does not" in done.stderr
    assert done.returncode == 0


def test_changes_of_a_time_begins_where_the_log_was_then(shop: Shell) -> None:
    """So long ago that there was nothing, everything has happened since."""
    document = shop.json("changes", "2w", "--limit", "1")

    assert document["since"] == {"position": 0, "recorded_at": None}
    assert document["sagas"]["started"] == 100
    assert document["until"]["position"] == shop.json("verify")["head_position"]
