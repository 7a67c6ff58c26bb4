"""Tables are never cut: in a pipe each row is one line, and on a screen they keep to its width."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.cells import cell_len

from sagaledger.infrastructure.cli.output.screen_table import table_lines
from sagaledger.infrastructure.cli.output.table import Table, lines

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLE = Table(
    ("saga_id", "events", "error"),
    [
        ("fulfil_order-1", 12, "the airline does not answer, and does not say when it will"),
        ("fulfil_order-2", None, "先方が応答しません"),
        ("fulfil_order-3", 7, "a line\nand \x1b[2J another"),
    ],
)


def _shown(table: Table, width: int) -> list[str]:
    shown = [line.text for line in table_lines(table, width)]
    assert all(cell_len(line) <= width for line in shown), shown
    return shown


def test_a_table_in_a_pipe_has_all_of_its_text() -> None:
    """Numbers stand on the right, control characters are shown, and nothing is lost."""
    texts = list(lines(TABLE))

    assert texts[1].startswith("fulfil_order-1      12  the airline")
    assert texts[1].endswith("when it will")
    assert texts[3].endswith("a line ⏎ and \\x1b[2J another")


def test_cells_of_words_go_on_in_further_lines() -> None:
    """A column of words gives way, and no word of it is broken."""
    assert _shown(TABLE, 60)[:4] == [
        "saga_id         events  error",
        "fulfil_order-1      12  the airline does not answer, and",
        "                        does not say when it will",
        "fulfil_order-2          先方が応答しません",
    ]


def test_a_first_cell_that_is_too_long_has_a_line_of_its_own() -> None:
    """The others keep their lines."""
    table = Table(("saga", "status"), [("trip-1", "completed"), ("trip-" + "long-" * 6, "completed")])
    assert _shown(table, 40) == [
        "saga              status",
        "trip-1            completed",
        "trip-long-long-long-long-long-long-",
        "                  completed",
    ]


def test_the_date_stands_once_above_the_table() -> None:
    """Where all times are of one day; to the second where there is no room for more."""
    table = Table(("at", "until", "what"), [(NOON, NOON + timedelta(seconds=1.5), "x" * 20)])
    assert _shown(table, 60)[0] == "times: 2026-03-01, UTC"
    assert _shown(table, 60)[2].startswith("12:00:00.000  12:00:01.500")
    assert _shown(table, 40)[2].startswith("12:00:00  12:00:01")


def test_times_of_several_days_have_their_dates() -> None:
    """No row needs the one above it."""
    shown = _shown(Table(("at",), [(NOON,), (NOON + timedelta(days=1),)]), 40)
    assert shown == ["times: UTC", "at", "2026-03-01 12:00:00.000", "2026-03-02 12:00:00.000"]


def test_what_every_row_has_and_what_none_has_stands_above() -> None:
    """Only if the table would be too wide."""
    table = Table(("id", "country", "none", "n"), [(f"order-{n}", "United Kingdom", None, n) for n in range(3)])
    assert _shown(table, 80)[0].split() == ["id", "country", "none", "n"]
    wide = table._replace(columns=("id", "country", "nothing_here", "n" * 16))
    assert _shown(wide, 40)[:2] == ["in every row: country United Kingdom", "without a value: nothing_here"]


def test_columns_that_do_not_fit_stand_below_each_row() -> None:
    """With their names; the columns that fit stay columns."""
    names = ("id", "first", "second", "third", "fourth")
    table = Table(names, [(f"order-{n}", *(f"value-{n}{n}{n}" for _ in names[1:])) for n in (1, 2)])
    assert _shown(table, 40) == [
        "id       first      second     third",
        "order-1  value-111  value-111  value-111",
        "    fourth=value-111",
        "order-2  value-222  value-222  value-222",
        "    fourth=value-222",
    ]


def test_one_wide_row_is_a_list() -> None:
    """Of its values with their names, without those that are empty."""
    table = Table(("name", "a_long_name", "empty"), [("x" * 27, "one two three four five six seven eight", None)])
    assert _shown(table, 40) == [
        f"name         {'x' * 27}",
        "a_long_name  one two three four five six",
        "             seven eight",
    ]


def test_times_in_a_pipe_are_utc_to_the_millisecond() -> None:
    """Every time in a table looks the same."""
    moment = datetime(2026, 3, 1, 2, 17, 5, 120_000, tzinfo=UTC)
    assert list(lines(Table(("at",), [(moment,)])))[1] == "2026-03-01T02:17:05.120Z"
