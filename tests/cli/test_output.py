"""The form of answers: JSON, plain text, pipes."""

from __future__ import annotations

import json

import pytest

from .shell import Shell

EVERY = (
    ("definitions",),
    ("version",),
    ("init",),
    ("list",),
    ("show", "fulfil_order-536366"),
    ("history", "fulfil_order-536366"),
    ("state", "fulfil_order-536366", "--at", "v4"),
    ("diff", "fulfil_order-536366", "v4", "v7"),
    ("query", "sagas"),
    ("projections",),
    ("projections", "drift", "loyalty", "--app", "shop"),
    ("verify",),
    ("worker", "--until-idle", "--app", "shop"),
)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_answer_is_one_json_object(shop: Shell, words: tuple[str, ...]) -> None:
    """Text has no colours where nobody is at a screen."""
    answered = shop(*words, "--json")
    plain = shop(*words)

    assert answered.returncode == 0, answered.stderr
    assert isinstance(json.loads(answered.stdout), dict)
    assert plain.returncode == 0
    assert "\x1b" not in plain.stdout + plain.stderr


def test_an_answer_is_piped_into_a_json_reader(shop: Shell) -> None:
    """Nothing else is on its stdout."""
    read = shop.line("sagaledger list --json | python3 -m json.tool")
    assert read.returncode == 0, read.stderr
    assert read.stdout.startswith("{")


def test_a_reader_that_has_enough_is_no_error(shop: Shell) -> None:
    """`| head` ends quietly."""
    done = shop.line("sagaledger query saga_steps --limit 10000 | head -1")
    assert done.returncode == 0
    assert done.stdout.startswith("saga_id")
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_piped_table_is_never_cut(shop: Shell) -> None:
    """However wide, each row is one line with all of its text."""
    shop.environment["COLUMNS"] = "20"
    lines = shop("query", "orders", "--limit", "5").stdout.splitlines()
    del shop.environment["COLUMNS"]
    assert len(lines) == 6
    assert "United Kingdom" in lines[1]
    assert "…" not in lines[1]


def test_help_is_quick_and_names_every_command(shop: Shell) -> None:
    """A person who knows nothing finds everything."""
    text = shop("--help").stdout
    for words in EVERY:
        assert words[0] in text


def test_options_may_stand_before_the_command(shop: Shell) -> None:
    """`sagaledger --json list` is as good as `sagaledger list --json`."""
    assert shop("--json", "list", "--limit", "1").stdout == shop("list", "--limit", "1", "--json").stdout


def test_control_characters_are_shown_and_not_obeyed(sqlite_shell: Shell) -> None:
    """What someone put into a reason cannot move the cursor of whoever audits it."""
    order = '{"order_id":"T1","placed_at":"2026-03-01T02:17:05Z","lines":[{"sku":"S","quantity":1,"amount_minor":1}]}'
    sqlite_shell("start", "fulfil_order", "--app", "shop", "--input", order)
    sqlite_shell("cancel", "fulfil_order-T1", "--reason", "\x1b[2Jgone\nnew line")

    screen = sqlite_shell("history", "fulfil_order-T1").stdout

    assert "\x1b" not in screen
    assert "gone" in screen
