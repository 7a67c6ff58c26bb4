"""Starting, working and operating sagas from several shells."""

from __future__ import annotations

import json
import signal

import pytest

from .shell import ORDER, Shell, until

RETURN = {"return_id": "R1", "requested_at": "2026-03-01T02:17:05Z", "lines": ORDER["lines"]}
FULFIL = ("start", "fulfil_order", "--input", json.dumps(ORDER))


def _trip(**wishes: object) -> str:
    return json.dumps({"traveller": "ada", **wishes})


def test_a_saga_started_beside_a_worker_is_worked(shell: Shell) -> None:
    """Start and wait in one shell while a worker runs in another; a view read with the token shows it."""
    worker = shell.worker()
    started = shell.json("start", "return_goods", "--input", json.dumps(RETURN), "--wait")
    answer = shell.json("query", "sagas", "--wait-for", str(started["position"]))

    assert started["status"] == "completed"
    assert answer["as_of_position"] >= started["position"]
    assert answer["rows"][0]["saga_id"] == "return_goods-R1"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


def test_start_without_a_worker_records_it_and_says_so(shell: Shell) -> None:
    """The saga is there, and the message names the command that works it."""
    done = shell(*FULFIL)

    assert done.returncode == 0
    assert "fulfil_order-T1 started at position" in done.stdout
    assert "`sagaledger worker" in done.stderr
    assert shell.json("list")["sagas"][0]["status"] == "running"


def test_the_same_start_again_is_one_saga(shell: Shell) -> None:
    """It was started before, at the same position; another input under the same key is a conflict."""
    first = shell.json(*FULFIL)
    again = shell.json(*FULFIL)
    other = shell("start", "fulfil_order", "--input", json.dumps({**ORDER, "country": "France"}))

    assert (first["created"], again["created"]) == (True, False)
    assert again["saga_id"] == first["saga_id"]
    assert other.returncode == 4
    assert "was started with another input" in other.stderr


def test_start_reads_a_file_and_stdin(shell: Shell) -> None:
    """`@FILE` and `-` are inputs too."""
    (shell.folder / "order.json").write_text(json.dumps(ORDER))
    assert shell.json("start", "fulfil_order", "--input", "@order.json")["created"] is True
    done = shell("start", "fulfil_order", "--input", "-", stdin=json.dumps({**ORDER, "order_id": "T2"}))
    assert done.stdout.startswith("fulfil_order-T2 started")


def test_waiting_without_a_worker_times_out_and_says_why(shell: Shell) -> None:
    """Exit code 124, and the reason that nothing happens."""
    done = shell(*FULFIL, "--wait", "--timeout", "0.2")
    assert done.returncode == 124
    assert "no worker is running" in done.stderr


def test_a_saga_that_turned_back_fails_the_waiting_start(bookings: Shell) -> None:
    """`--wait` exits 1 unless the saga completed, and names the command that explains it."""
    bookings.worker()
    done = bookings("start", "book_trip", "--input", _trip(hotel="full"), "--wait")

    assert done.returncode == 1
    assert "compensated" in done.stdout
    assert "sagaledger show book_trip-ada" in done.stderr


def test_cancel_from_another_shell_turns_a_running_saga_back(bookings: Shell) -> None:
    """The step at hand ends, everything is undone, and who asked for it is on record."""
    bookings.worker()
    door = bookings.folder / "door"
    bookings.json("start", "book_trip", "--input", _trip(hotel=str(door)))
    until(lambda: bookings.json("state", "book_trip-ada")["version"] >= 4)

    cancelled = bookings.json("cancel", "book_trip-ada", "--reason", "rain", "--actor", "grace")
    door.touch()
    until(lambda: bookings.json("state", "book_trip-ada")["end"] is not None)

    history = bookings.json("history", "book_trip-ada")["events"]
    asked = next(event for event in history if event["position"] == cancelled["position"])
    assert (asked["data"]["actor"], asked["data"]["reason"]) == ("grace", "rain")
    assert bookings.json("state", "book_trip-ada")["status"] == "compensated"
    again = bookings("cancel", "book_trip-ada", "--reason", "rain")
    assert again.returncode == 4
    assert "it is compensated" in again.stderr


def test_a_person_decides_how_a_parked_saga_goes_on(bookings: Shell) -> None:
    """`show` prints the commands; one of them, copied, lets the saga end."""
    bookings("start", "book_trip", "--input", _trip(hotel="full", airline_answers=False))
    assert bookings("worker", "--until-idle").returncode == 0
    shown = bookings.json("show", "book_trip-ada")
    assert shown["status"] == "needs_intervention"

    command = next(line for line in shown["next"] if "intervene skip" in line)
    done = bookings.line(command.replace("WHY", "'the airline is bankrupt'"))

    assert done.returncode == 0, done.stderr
    assert bookings("worker", "--until-idle").returncode == 0
    assert bookings.json("state", "book_trip-ada")["status"] == "compensated"
    assert "the airline is bankrupt" in bookings("show", "book_trip-ada").stdout
    assert bookings("intervene", "retry", "book_trip-ada", "--reason", "x").returncode == 4


def test_an_abandoned_saga_ends_as_it_stands(bookings: Shell) -> None:
    """Abandoning needs no worker."""
    bookings("start", "book_trip", "--input", _trip(hotel="full", airline_answers=False))
    bookings("worker", "--until-idle")
    assert bookings("intervene", "abandon", "book_trip-ada", "--reason", "written off").returncode == 0
    assert bookings.json("state", "book_trip-ada")["status"] == "abandoned"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_worker_drains_when_it_is_told_to_stop(bookings: Shell, number: signal.Signals, code: int) -> None:
    """The step at hand is recorded before the worker ends, without a traceback."""
    worker = bookings.worker()
    door = bookings.folder / "door"
    bookings.json("start", "book_trip", "--input", _trip(hotel=str(door)))
    until(lambda: bookings.json("state", "book_trip-ada")["version"] >= 4)

    worker.send_signal(number)
    door.touch()
    _, messages = worker.communicate()

    assert worker.returncode == code
    assert "Traceback" not in messages
    recorded = [event["event"] for event in bookings.json("history", "book_trip-ada")["events"]]
    assert recorded.count("StepSucceeded") == 2


def test_a_second_worker_on_a_sqlite_file_is_refused(sqlite_shell: Shell) -> None:
    """One line says that the file has a worker; exit code 4."""
    sqlite_shell.worker("--app", "shop")
    done = sqlite_shell("worker", "--app", "shop")
    assert done.returncode == 4
    assert "worker" in done.stderr
    assert "Traceback" not in done.stderr
