"""Sagas whose types are models of pydantic's, from a shell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .shell import Shell


@pytest.fixture
def deliveries(sqlite_shell: Shell) -> Shell:
    """A shell with the app of deliveries."""
    shutil.copy(Path(__file__).with_name("deliveries.py"), sqlite_shell.folder)
    sqlite_shell.environment["SAGALEDGER_APP"] = "deliveries:APP"
    return sqlite_shell


def test_models_go_from_json_through_a_worker_to_what_is_shown(deliveries: Shell) -> None:
    """Given by aliases, or by names; a wrong result fails its step, and what was before is undone with its own."""
    by_alias = '{"deliveryNumber": "1", "addresses": [{"City": "Rome"}, {"City": "Oslo"}]}'
    by_name = '{"number": "wrong", "to": [{"city": "Rome"}]}'
    for given in (by_alias, by_name):
        assert deliveries("start", "deliver", "--input", given).returncode == 0
    assert deliveries("worker", "--until-idle").returncode == 0

    done, undone = deliveries.json("show", "deliver-1"), deliveries.json("show", "deliver-wrong")

    assert (done["status"], done["result"]) == ("completed", {"city": "Rome"})
    assert done["input"] == {"number": "1", "to": [{"city": "Rome"}, {"city": "Oslo"}], "on": "2020-01-01"}
    assert (undone["status"], undone["cause"]) == ("compensated", "step print_label failed (NotSerialisable)")
    [definition] = deliveries.json("definitions")["definitions"]
    assert set(definition["input"]["properties"]) == {"number", "to", "on"}


def test_json_that_a_model_refuses_starts_nothing(deliveries: Shell) -> None:
    """The error is one line, and says where."""
    done = deliveries("start", "deliver", "--input", '{"deliveryNumber": "1", "addresses": []}')

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "must go somewhere - at `$.addresses`" in done.stderr
