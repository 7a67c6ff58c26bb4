"""Searching from the command line: conditions, attributes, and rows as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sagaledger.infrastructure.cli.output import row_files
from sagaledger.infrastructure.cli.output.row_files import RowFile, csv_lines
from sagaledger.infrastructure.cli.usage import UsageError

from .shell import Shell

APP = """
import msgspec
from sagaledger import App, Saga

class Parcel(msgspec.Struct):
    number: int
    customer: str

parcels = Saga("parcels", input=Parcel, key=lambda parcel: str(parcel.number),
               search={"customer": lambda parcel: parcel.customer, "number": lambda parcel: parcel.number})

@parcels.step(compensable=False)
def send(parcel, context):
    return None

APP = App(sagas=[parcels])
"""
CUSTOMERS = ("C-1", "=1+2", 'a "b", c', "C-1")


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell on a ledger with four sagas that can be found; tests only read it, without the app."""
    folder: Path = tmp_path_factory.mktemp("parcels")
    (folder / "parcels.py").write_text(APP)
    opened = Shell(folder, "sqlite:///parcels.db")
    for number, customer in enumerate(CUSTOMERS, start=1):
        parcel = json.dumps({"number": number, "customer": customer})
        assert opened("start", "parcels", "--input", parcel, "--app", "parcels:APP").returncode == 0
    assert opened("init", "--app", "parcels:APP").returncode == 0
    assert opened("list", "--app", "parcels:APP").returncode == 0
    yield opened
    opened.close()


def _ids(shell: Shell, *words: str) -> list[str]:
    return [row["saga_id"] for row in shell.json(*words).get("sagas", [])]


def test_list_finds_sagas_by_their_attributes(parcels: Shell) -> None:
    """Every one must hold, with each operator; no app is needed."""
    assert _ids(parcels, "list", "--attr", "customer=C-1") == ["parcels-4", "parcels-1"]
    assert _ids(parcels, "list", "--attr", "customer=C-1", "--attr", "number>1", "--since", "1h") == ["parcels-4"]
    assert _ids(parcels, "list", "--attr", "customer like C-%", "--until", "1h") == []


def test_show_says_what_a_saga_is_found_by(parcels: Shell) -> None:
    """On its screen and in its document."""
    assert parcels.json("show", "parcels-3")["attributes"] == {"customer": ['a "b", c'], "number": ["3"]}
    assert "found by    number=3" in parcels("show", "parcels-3").stdout


def test_list_goes_on_page_by_page_within_what_was_found(parcels: Shell) -> None:
    """The cursor of one page, given with the same attributes, is where the next one begins."""
    first = parcels.json("list", "--attr", "customer=C-1", "--limit", "1")
    second = parcels.json("list", "--attr", "customer=C-1", "--limit", "1", "--after", first["next"])

    assert [row["saga_id"] for row in first["sagas"] + second["sagas"]] == ["parcels-4", "parcels-1"]


def test_query_takes_conditions_with_every_operator(shop: Shell) -> None:
    """As words after the view, or as --where; text, numbers and times of a view whose app is not there."""
    whole = shop.json("query", "orders", "--limit", "10000")["rows"]

    def expect(count: int, *conditions: str) -> None:
        assert len(shop.json("query", "orders", *conditions, "--limit", "10000")["rows"]) == count

    expect(sum(row["total_minor"] > 30_000 for row in whole), "total_minor>30000")
    expect(
        sum(row["status"] in ("completed", "pending") and row["country"] != "France" for row in whole),
        "status in completed,pending",
        "country!=France",
    )
    expect(sum("g" in row["country"] for row in whole), "--where", "country like %g%")
    expect(sum(row["customer_id"] is not None for row in whole), "customer_id is not null")
    expect(sum(row["placed_at"] < "2010-12-01 09" for row in whole), "placed_at<2010-12-01T09:00Z")
    expect(0, "placed_at>7d")
    assert 0 < sum(row["placed_at"] < "2010-12-01 09" for row in whole) < len(whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("query", "orders", "lines"), "'lines' is not of the form COLUMN=VALUE"),
        (
            ("query", "orders", "total_minor>much"),
            "column 'total_minor' of view 'orders' takes a whole number, not 'much'",
        ),
        (("query", "orders", "total_minor like 1%"), "like compares text"),
        (("query", "orders", "--format", "csv", "--json"), "--json and --format csv ask for two formats"),
        (("query", "orders", "--attr", "a=1", "--at", "@5"), "give one of them"),
        (("query", "orders", "--attr", "a=1"), "no saga of this ledger has search attributes"),
        (("list", "--since", "7y"), "'7y' is not a time .* or as 7d for seven days ago"),
        (("list", "--attr", "customer"), "is not of the form"),
        (("list", "--format", "xml"), "table"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_to_ask(shop: Shell, words: tuple[str, ...], says: str) -> None:
    """One line, exit code 2."""
    done = shop(*words)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(says, done.stderr), done.stderr


def test_a_line_of_csv_tells_no_value_from_an_empty_text() -> None:
    """Lines end with CR LF, times and numbers are those of JSON, and only text is kept from being a formula."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    row = {"a": None, "b": "", "c": True, "d": -5, "e": 0.1, "f": noon, "g": "-5", "h": 'a,"b"\n', "i": [1, "x"]}

    header, line = csv_lines([row], tuple(row))

    assert header == "a,b,c,d,e,f,g,h,i\r\n"
    assert line == ',"",true,-5,0.1,2026-03-01T12:00:00.000000Z,\'-5,"a,""b""\n","[1,""x""]"\r\n'


def test_csv_is_read_back_by_any_reader_and_run_by_no_spreadsheet(parcels: Shell) -> None:
    """As RFC 4180 has it; what begins like a formula has an apostrophe, and numbers are numbers."""
    done = parcels("query", "saga_attributes", "name in customer,number", "--order", "saga_id", "--format", "csv")
    lines = done.stdout.encode().decode()
    rows = list(csv.DictReader(io.StringIO(lines, newline="")))

    assert [row["value"] for row in rows if row["name"] == "customer"] == ["C-1", "'=1+2", 'a "b", c', "C-1"]
    assert [row["number"] for row in rows if row["name"] == "number"] == ["1.0", "2.0", "3.0", "4.0"]
    assert {row["time"] for row in rows} == {""}
    assert "as of position 4" in done.stderr


def test_ndjson_has_the_rows_of_the_document_one_to_a_line(shop: Shell) -> None:
    """The same values, in full."""
    for words in (("query", "orders", "--order", "-total_minor"), ("list",)):
        document = shop.json(*words, "--limit", "10000")
        lines = shop(*words, "--format", "ndjson").stdout.splitlines()

        assert [json.loads(line) for line in lines] == document.get("rows", document.get("sagas"))
        assert len(lines) > 50
        assert shop(*words, "--limit", "1", "--format", "json").stdout == shop(*words, "--limit", "1", "--json").stdout


@pytest.mark.parametrize("rows", [0, 10_000])
def test_a_disk_that_is_full_is_told_with_the_remedy(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is found when the rows are written, or when the file is closed."""
    monkeypatch.setattr(row_files, "TemporaryFile", lambda *_, **__: open("/dev/full", "w"))  # noqa: PTH123, SIM115

    with (
        pytest.raises(UsageError, match="No space left on device; name another folder in TMPDIR"),
        RowFile(["a"], "csv") as file,
    ):
        file.fill({"a": "b"} for _ in range(rows))


def test_no_folder_for_temporary_files_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python looks for one before the file is there."""
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    monkeypatch.setattr(tempfile, "tempdir", None)

    with pytest.raises(UsageError, match=r"No usable temporary directory .* name another folder in TMPDIR"):
        RowFile(["a"], "csv")


def test_a_file_of_a_past_view_has_its_rows(shop: Shell) -> None:
    """Folded again, as the table of it is."""
    words = ("query", "orders", "--at", "@200", "--app", "shop")

    done = shop(*words, "--format", "ndjson")

    assert [json.loads(line) for line in done.stdout.splitlines()] == shop.json(*words, "--limit", "1000")["rows"]
    assert "as it was at @200, as of position 200" in done.stderr


def test_a_file_is_complete_and_may_be_left_early(shop: Shell) -> None:
    """Without --limit it has every row; `| head` ends quietly; an empty one has its header."""
    steps = shop.json("query", "saga_steps", "--limit", "10000")["rows"]

    whole = shop("query", "saga_steps", "--format", "csv").stdout.splitlines()
    some = shop("query", "saga_steps", "--format", "csv", "--limit", "3")
    more = shop("query", "saga_steps", "--format", "csv", "--limit", "50000")
    left = shop.line("for f in csv ndjson; do sagaledger query saga_steps --format $f | head -1; done")

    assert len(whole) == 1 + len(steps) > 100
    assert more.stdout.splitlines() == whole
    assert len(some.stdout.splitlines()) == 4
    assert "only the first 3 rows" in some.stderr
    assert (left.returncode, len(left.stdout.splitlines())) == (0, 2)
    assert "Broken" not in left.stderr
    assert "Traceback" not in left.stderr
    assert shop("query", "saga_steps", "step=none", "--format", "csv").stdout.splitlines() == whole[:1]
