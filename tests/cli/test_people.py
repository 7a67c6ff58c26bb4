"""People who operate sagas: approvals across restarts, and decisions about many at once."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.ledger.ledger import Ledger

from .approvals import APP
from .shell import Shell, until

APP_FILE = Path(__file__).with_name("approvals.py")
BANK = "bank-is-open"


@pytest.fixture
def bank(shell: Shell) -> Shell:
    """A shell with the app of payouts."""
    shutil.copy(APP_FILE, shell.folder)
    shell.environment["SAGALEDGER_APP"] = "approvals:APP"
    assert shell("init").returncode == 0
    return shell


def begin(shell: Shell, /, *numbers: int, **more: str) -> None:
    """Start payouts."""
    for number in numbers:
        asked = json.dumps({"number": str(number), **more})
        assert shell("start", "payout", "--input", asked).returncode == 0


def work(bank: Shell) -> None:
    """A worker comes, does what there is to do, and is gone."""
    done = bank("worker", "--until-idle")
    assert done.returncode == 0, done.stderr


def test_a_saga_waits_for_an_approval_across_a_restart_of_everything(bank: Shell) -> None:
    """Nothing runs while it waits; who approved, when and why is in its history; it goes on where it was."""
    begin(bank, 1)
    work(bank)

    shown = bank("show", "payout-1").stdout
    assert "approve payout-1 approval --reason WHY" in shown
    assert "waits for signal approval until 20" in shown
    said = bank.json("approve", "payout-1", "approval", "--reason", "checked", "--payload", '"ann"', "--actor", "ann")
    work(bank)

    assert said["actor"] == "ann"
    document = bank.json("show", "payout-1")
    assert (document["status"], document["result"]) == ("completed", "paid 1, as ann said")
    assert "ann gives approval" in bank("history", "payout-1").stdout
    assert [step["status"] for step in document["attempts"] if step["step"] == "approval"] == ["succeeded"]


def test_a_refusal_turns_the_saga_back_and_is_final(bank: Shell) -> None:
    """What it had done is undone; another word comes too late, and says so."""
    begin(bank, 1)
    work(bank)

    assert bank("refuse", "payout-1", "approval", "--reason", "no money").returncode == 0
    late = bank("approve", "payout-1", "approval", "--reason", "but yes")
    work(bank)
    shown, history = bank("show", "payout-1").stdout, bank("history", "payout-1").stdout

    assert late.returncode == 4
    assert "does not wait any more" in late.stderr
    assert bank.json("show", "payout-1")["status"] == "compensated"
    assert "refuses approval: no money" in shown
    assert "Refused: approval was refused by " in shown
    assert "refuses approval: no money" in history


def test_several_people_approve_and_everybody_sees_how_far_it_is(bank: Shell) -> None:
    """Each once, and not the one who asked; without any app, what the log says is enough to tell them so."""
    del bank.environment["SAGALEDGER_APP"]
    app = "approvals:BONUSES"
    bank("start", "bonus", "--input", '"x"', "--id", "1", "--actor", "ann", "--app", app)
    bank("worker", "--until-idle", "--app", app)
    approve = ("approve", "bonus-1", "release", "--reason", "checked", "--actor")

    own = bank(*approve, "ann", "--payload", "1")
    first = bank.json(*approve, "bob", "--payload", "7", "--key", "k")
    again = bank.json(*approve, "bob", "--payload", "7", "--key", "k")
    twice = bank(*approve, "bob", "--payload", "7")
    unread = bank(*approve, "cid", "--payload", '"much"')
    bank("worker", "--until-idle", "--app", app)
    shown, history = bank("show", "bonus-1").stdout, bank("history", "bonus-1").stdout
    unfit = bank(*approve, "cid", "--payload", '"much"', "--app", app)
    state = bank.json("state", "bonus-1")
    bank(*approve, "cid", "--payload", "8")
    bank("worker", "--until-idle", "--app", app)

    assert [(done.returncode, done.stderr.count("\n")) for done in (own, twice, unread, unfit)] == [
        (4, 1), (4, 1), (0, 1), (2, 1),
    ]  # fmt: skip
    assert "needs the approval of another actor: 'ann' started the saga" in own.stderr
    assert "'bob' has approved it (1 of 2 approved, by bob)" in twice.stderr
    assert "for step 'release' of saga 'bonus-1' does not fit: Expected `int`, got `str`" in unfit.stderr
    assert first == again
    assert "waits for signal approval, 2 approvals, not by ann: 1 of 2 approved, by bob" in shown
    assert "approve bonus-1 release --reason WHY" in shown
    assert "1 of 2: bob approves" in history
    assert (
        "signal approval at version 4 does not fit, and counts for no step: ValidationError: Expected `int`" in history
    )
    assert [given["actor"] for given in state["steps"]["release"]["forward"]["approvals"]] == ["bob"]
    assert bank.json("show", "bonus-1")["result"] == "bob: 7 and cid: 8"
    [row] = bank.json("query", "saga_steps", "--where", "step=release")["rows"]
    assert (row["approvals"], row["approvals_needed"], row["approved_by"]) == (2, 2, "bob, cid")


def test_a_signal_that_comes_before_the_wait_is_kept(bank: Shell) -> None:
    """By the signal's name; with a refusal by flag."""
    begin(bank, 1, 2)
    assert bank("signal", "payout-1", "approval", "--payload", '"bob"', "--reason", "known").returncode == 0
    assert bank("signal", "payout-2", "approval", "--refuse", "--reason", "no").returncode == 0
    work(bank)

    assert bank.json("show", "payout-1")["result"] == "paid 1, as bob said"
    assert bank.json("show", "payout-2")["status"] == "compensated"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["approve", "payout-7", "approval", "--reason", "x"], 3, "there is no saga 'payout-7'"),
        (["approve", "payout-1", "pay", "--reason", "x"], 4, "waits for no signal: those that do are ['approval']"),
        (["approve", "payout-1", "approval", "--reason", " "], 2, "--reason is empty"),
        (["signal", "payout-1", "approval", "--refuse"], 2, "--reason is empty"),
        (["signal", "payout-1", "approval", "--payload", "{"], 2, "--payload is not JSON"),
        (["intervene", "retry", "--reason", "x"], 2, "which saga?"),
        (["intervene", "retry", "payout-1", "--definition", "payout", "--reason", "x"], 2, "name one saga, or filter"),
        (
            ["cancel", "--status", "running", "--per-second", "0", "--reason", "x"],
            2,
            "--per-second a number of at least 1e-06",
        ),
        (["start", "payout", "--input", '{"number":"9"}', "--at", "tomorrow"], 2, "'tomorrow' is not a time"),
    ],
)
def test_what_cannot_be_done_is_told_on_one_line(bank: Shell, words: list[str], code: int, said: str) -> None:
    """The thing, the place and the remedy."""
    begin(bank, 1)

    done = bank(*words)

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_many_that_need_a_person_are_retried_at_once(bank: Shell) -> None:
    """A preview changes nothing; then each has a result of its own, and the throttle is kept."""
    begin(bank, 1, 2, 3, bank=BANK)
    begin(bank, 4)
    for number in (1, 2, 3):
        assert bank("signal", f"payout-{number}", "approval", "--reason", "ok").returncode == 0
    work(bank)
    (bank.folder / BANK).touch()
    chosen = ["--status", "needs_intervention", "--definition", "payout", "--step", "pay", "--cause", "Connection"]

    preview = bank.json("intervene", "retry", *chosen, "--dry-run", "--reason", "the bank is open again")
    some = bank.json("intervene", "retry", *chosen, "--limit", "2", "--reason", "the bank is open again")
    rest = bank.json("intervene", "retry", *chosen, "--per-second", "5", "--reason", "the bank is open again")
    none = bank.json("intervene", "retry", *chosen, "--reason", "the bank is open again")
    work(bank)

    assert [item["outcome"] for item in preview["items"]] == ["selected"] * 3
    waiting = [item["saga_id"] for item in preview["items"]]  # those whose payment failed first come first
    assert sorted(waiting) == ["payout-1", "payout-2", "payout-3"]
    assert ([item["saga_id"] for item in some["items"]], some["more"]) == (waiting[:2], True)
    assert [(item["saga_id"], item["outcome"]) for item in rest["items"]] == [(waiting[2], "done")]
    assert none["items"] == []
    statuses = {row["saga_id"]: row["status"] for row in bank.json("list")["sagas"]}
    assert statuses == {
        "payout-1": "completed",
        "payout-2": "completed",
        "payout-3": "completed",
        "payout-4": "waiting",
    }


def test_one_that_fails_among_many_is_told_and_fails_the_command(bank: Shell) -> None:
    """Those beside it are done: a result that does not fit one saga's step, for instance."""
    begin(bank, 1, bank=BANK)
    assert bank("signal", "payout-1", "approval").returncode == 0
    work(bank)

    done = bank("intervene", "resolve", "--step", "pay", "--result", "7", "--reason", "paid by hand", "--json")

    assert done.returncode == 1
    [item] = json.loads(done.stdout)["items"]
    assert item["outcome"] == "failed"
    assert "does not fit" in item["error"]


def test_many_that_wait_are_cancelled_at_once(bank: Shell) -> None:
    """All that stand at one step."""
    begin(bank, 1, 2, 3)
    work(bank)

    done = bank("cancel", "--status", "waiting", "--step", "approval", "--reason", "the fund is closed")
    work(bank)

    assert done.returncode == 0
    assert done.stderr.startswith("cancel: 3 done")
    assert {row["status"] for row in bank.json("list")["sagas"]} == {"compensated"}


def test_a_saga_may_be_started_for_later(bank: Shell) -> None:
    """It shows as waiting, and until when; it begins at its time."""
    asked = '{"number": "1"}'
    bank.json("start", "payout", "--input", asked, "--at", "2099-01-01T10:00:00Z")
    work(bank)

    shown = bank("show", "payout-1").stdout
    assert shown.startswith("payout-1  waiting")
    assert "it begins at 2099-01-01T10:00:00.000Z" in shown
    assert bank.json("list", "--status", "waiting")["sagas"][0]["begins_at"] == "2099-01-01T10:00:00.000000Z"

    bank.json("start", "payout", "--input", '{"number": "2"}', "--at", "2020-01-01")
    work(bank)
    assert bank.json("show", "payout-2")["attempts"][0]["status"] == "succeeded"


def test_workers_are_listed_with_what_they_hold(bank: Shell) -> None:
    """And nobody is named when nobody works."""
    assert bank.json("workers") == {"workers": [], "put_back": []}
    bank.worker("--lease-seconds", "7")

    [found] = bank.json("workers")["workers"]

    assert (found["sagas"], found["lease"]) == (0, "held")
    assert str(found["pid"]) in bank("workers").stdout


def test_sagas_that_a_worker_could_not_read_are_listed_beside_the_workers(bank: Shell) -> None:
    """They are nobody's, and would wait unseen."""
    begin(bank, 1)
    with Ledger.open(bank.environment["SAGALEDGER_DB"], APP) as ledger:
        started = ledger.history("payout-1")[0].event
        newer = replace(ledger.context.codec.encode("payout-1", 2, started), topic="FromTheFuture")
        ledger.backend.append(AppendCall(uuid4(), [Append([newer])]))
    bank.worker()

    until(lambda: bool(bank.json("workers")["put_back"]))

    [put_back] = bank.json("workers")["put_back"]
    assert (put_back["saga"], put_back["definition"], put_back["version"]) == ("payout-1", "payout", 1)
    assert "'FromTheFuture' schema version 1 is not registered" in put_back["why"]
    shown = bank("workers")
    assert "payout-1" in shown.stdout
    assert "1 saga put back for others, because a worker could not read it" in shown.stderr


def test_definitions_tell_what_each_version_still_holds(bank: Shell) -> None:
    """Also of a version that is not registered any more, and of one that was changed."""
    begin(bank, 1, 2)
    source = bank.folder / "approvals.py"
    text = source.read_text()
    [now] = bank.json("definitions")["definitions"]
    source.write_text(text.replace('Saga("payout", ', 'Saga("payout", version=2, '))
    old, new = bank.json("definitions")["definitions"]
    source.write_text(text.replace('payout.wait_for("approval"', 'payout.wait_for("word"'))
    changed = bank("definitions")
    refused = bank("worker", "--until-idle")

    assert (now["state"], now["unfinished"], now["sagas"]) == ("registered", 2, 2)
    assert now["fingerprint"] == now["recorded_fingerprint"]
    assert (old["version"], old["state"], old["unfinished"]) == (1, "not_registered", 2)
    assert (new["version"], new["state"], new["unfinished"]) == (2, "registered", 0)
    assert "payout version 1 is on record with the fingerprint" in changed.stderr
    assert refused.returncode == 4
    assert now["fingerprint"] in refused.stderr


def test_requests_show_those_that_were_refused(bank: Shell, url: str) -> None:
    """On SQLite there are none."""
    assert bank.json("requests") == {"requests": []}
    if url.startswith("sqlite"):
        return
    begin(bank, 1)
    ask = (
        "import sys, psycopg; from approvals import APP, Payout; from sagaledger import Ledger\n"
        "with Ledger.open(sys.argv[1], APP) as ledger, psycopg.connect(sys.argv[1]) as mine:\n"
        "    ledger.start_in(mine, 'payout', Payout('1', 'x'), actor='ann')\n"
    )
    (bank.folder / "ask.py").write_text(ask)
    done = bank.line(f"{sys.executable} ask.py '{url}'")
    assert done.returncode == 0, done.stderr
    assert bank.json("requests")["requests"][0]["status"] == "open"
    bank.worker()

    until(lambda: bank.json("requests")["requests"][0]["status"] == "refused")

    assert "another input" in bank("requests").stdout
