"""`decisions`, `stats` and `sql` on the command line; the page of audit questions runs them, too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .shell import Shell

EXAMPLE = Path(__file__).parents[2] / "examples" / "audited_orders.py"


@pytest.fixture
def audited(shell: Shell, url: str) -> Shell:
    """A shell on a ledger in which the example for auditors has run."""
    shutil.copy(EXAMPLE, shell.folder)
    shell.environment["SAGALEDGER_APP"] = "audited_orders.py:app"
    done = shell.line(f"python audited_orders.py '{url}'")
    assert done.returncode == 0, done.stderr
    return shell


def test_each_answer_has_a_document(audited: Shell) -> None:
    """With what the text leaves out: the state that the actor saw, the rates, the positions."""
    decided = audited.json("decisions", "--action", "approve")["decisions"]
    stats = audited.json("stats", "--step", "charge", "--attr", "customer=C-2")
    asked = audited.json("sql", "SELECT count(*) AS number FROM sagas", "--at", "@30")

    assert [(each["actor"], each["saw"]["status"]) for each in decided] == [("head-of-sales", "waiting")]
    assert [(each["step"], each["attempts"], each["beyond_second"]) for each in stats["steps"]] == [("charge", 8, 4)]
    assert (asked["columns"], asked["as_of_positions"]) == (["number"], {"sagas": 30})
    assert 0 < asked["rows"][0]["number"] < 6


def test_an_answer_in_sql_can_be_a_file(audited: Shell) -> None:
    """Times as everywhere, one object a line."""
    statement = "SELECT saga_id, ended_at FROM sagas ORDER BY saga_id"

    lines = audited("sql", statement, "--format", "ndjson").stdout.splitlines()
    table = audited("sql", statement, "--limit", "2")

    assert [json.loads(line)["saga_id"] for line in lines] == [f"orders-{number}" for number in range(1, 7)]
    assert json.loads(lines[0])["ended_at"].endswith("Z")
    assert len(table.stdout.splitlines()) == 3
    assert "only the first 2 rows" in table.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("sql", "DELETE FROM sagas"), 2, "it must be one SELECT"),
        (("sql", "SELECT * FROM nothing"), 2, "nothing"),
        (("sql", "SELECT 1", "--at", "@9000000"), 2, "@9000000 is beyond the end of the log"),
        (("decisions", "--limit", "0"), 2, "1 to 10,000 rows"),
        (("decisions", "--since", "once"), 2, "'once'"),
        (("decisions", "--action", "guess"), 2, "guess"),
        (("stats", "--attr", "customer"), 2, "customer"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    sqlite_shell: Shell, words: tuple[str, ...], code: int, says: str
) -> None:
    """In one line, with the code of a wrong use."""
    sqlite_shell("init", "--db", "sqlite:///ledger.db")

    done = sqlite_shell(*words, "--db", "sqlite:///ledger.db")

    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert says in done.stderr
