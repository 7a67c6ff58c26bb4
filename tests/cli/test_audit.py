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
    assert at_time == at_version
    assert shop.json("state", DECLINED)["status"] == "compensated"


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
