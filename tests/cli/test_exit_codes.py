"""Whatever a shell hands over, a command ends with a documented exit code, on one line, without a traceback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagaledger.domain.errors import CorruptEvent
from sagaledger.infrastructure.cli.exit_codes import ExitCode, exit_code_of
from sagaledger.infrastructure.cli.main import run
from sagaledger.infrastructure.errors import OutcomeUnknown, SupersededWorker

from .shell import PROGRAM, Shell

DOCUMENTED = {0, 1, 2, 3, 4, 5, 6, 124, 130}
APP = """
from sagaledger import App, Saga

S = Saga("s", input=dict)

@S.step(compensable=False)
async def go(value, context):
    return 1

S.wait_for("word")
APP = App(sagas=[S])
"""
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ODD_FILES = {
    "latin.json": b'{"name": "caf\xe9"}',
    "mark.json": b'\xef\xbb\xbf{"name": "x"}',
    "deep.json": b'{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    "empty.json": b"",
    "latin.csv": f"{HEADER}1,A,caf\xe9,1,2010-12-01,1,,\n".encode("latin-1"),
    "wide.csv": HEADER.encode("utf-16"),
    "times.csv": (
        f"{HEADER}1,A,x,1,0001-01-01T00:00:00+14:00,1,,\n2,A,x,1,9999-12-31T23:59:59-12:00,1,,\n"
        "3,A,x,1,0001-01-01T00:00:00Z,1,,\n4,A,x,1,9999-12-31T23:59:59Z,1,,\n"
    ).encode(),
    "nul.csv": b"\x00" * 1_000,
    "nul.csv.gz": b"\x1f\x8b" + b"\x00" * 1_000,
    "nul.jsonl": b"\x00\n[[[[\n\xff\n",
}
TEXTS = ("", " ", "\udcff", "a\x1b]0;x\x07", "\u202e", "x" * 100_000, "--", "-", "@", "@nope", "\ud800", "é\n")
JSONS = ("", "{", "NaN", "1e999", "9" * 5_000, "[" * 5_000, "\ufeff{}", '"\\ud800"', '{"a":1,"a":2}', *TEXTS[2:5])
JSON_FILES = (*(f"@{name}" for name in ODD_FILES if name.endswith(".json")), "@.", "@/dev/null", "@no.json")
NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e308",
    "9" * 30,
    str(2**63),
    str(-(2**63) - 1),
    "9" * 5_000,
    "",
    "x",
    "0x1",
)
TIMES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "9999-12-31", "0000-01-01", *NUMBERS)
MOMENTS = (
    *TIMES,
    *(f"@{n}" for n in NUMBERS),
    *(f"v{n}" for n in NUMBERS),
    "@",
    "v",
    "@@1",
    "v1@2",
    "1@",
    "@v1",
    "999999w",
)
FILES = (*ODD_FILES, ".", "no.csv", "", "x" * 5_000 + ".csv", "a\udcff.csv", "/dev/null", "secret.csv")
REASON = ("--reason", "why")

MATRIX: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("start", "s", "--input"), (*JSONS, *JSON_FILES)),
    (("start", "s", "--input", "{}", "--id"), TEXTS),
    (("start", "s", "--input", "{}", "--actor"), TEXTS),
    (("start", "s", "--input", "{}", "--at"), TIMES),
    (("start", "s", "--input", "{}", "--wait", "--timeout"), tuple(n for n in NUMBERS if n != "1e308")),
    (("start",), TEXTS),
    (("list", "--since"), TIMES),
    (("list", "--until"), TIMES),
    (("list", "--after"), (*TEXTS, "0001-01-01T00:00:00+14:00,x")),
    (("list", "--limit"), NUMBERS),
    (("list", "--definition"), TEXTS),
    (
        ("list", "--db"),
        ("", "sqlite://", "sqlite:///", "postgresql://[", "x" * 5_000, "sqlite:///" + "y" * 5_000, "\udcff"),
    ),
    (
        ("list", "--app"),
        ("", ":", "x:", "no.py:APP", "app.py:no", ".py:APP", "exits.py:APP", "\udcff:APP", "x" * 5_000 + ":A"),
    ),
    *(
        ((command,), TEXTS)
        for command in ("show", "history", "state", "query", "signal", "cancel", "intervene", "verify")
    ),
    (("state", "s-1", "--at"), MOMENTS),
    (("diff", "s-1", "v1"), MOMENTS),
    (("query", "sagas", "--limit"), NUMBERS),
    (("query", "sagas", "--where"), (*TEXTS, *(f"version={n}" for n in NUMBERS), *(f"started_at={t}" for t in TIMES))),
    (("query", "sagas", "--order"), TEXTS),
    (("query", "sagas", "--at"), MOMENTS),
    (("changes",), MOMENTS),
    (("changes", "@0", "--limit"), NUMBERS),
    (("query", "sagas", "--wait-for", "1", "--timeout"), NUMBERS),
    (("query", "sagas", "--timeout", "0", "--wait-for"), NUMBERS),
    (("signal", "s-1", "word", "--payload"), JSONS),
    (("signal", "s-1", "word", "--actor"), TEXTS),
    (("signal", "s-1"), TEXTS),
    (("approve", "s-1", "word", *REASON, "--payload"), JSONS),
    (("refuse", "s-1", "word", "--reason"), TEXTS),
    (("cancel", "s-1", "--reason"), TEXTS),
    (("cancel", "--status", "running", "--dry-run", *REASON, "--limit"), NUMBERS),
    (("cancel", "--status", "running", "--dry-run", *REASON, "--per-second"), NUMBERS),
    (("intervene", "resolve", "s-1", *REASON, "--result"), JSONS),
    (("intervene", "retry", "--status", "needs_intervention", *REASON, "--cause"), TEXTS),
    (("requests", "--limit"), NUMBERS),
    (("deadletters", "replay", "x", *REASON), NUMBERS),
    (("projections", "rebuild"), TEXTS),
    (("worker", "--until-idle", "--concurrency"), tuple(n for n in NUMBERS if n != "0x1")),
    (("worker", "--until-idle", "--lease-seconds"), NUMBERS),
    (("verify", "--expect"), (*TEXTS, *(f"{n}:{'0' * 64}" for n in NUMBERS))),
    (("run",), FILES),
    (("run", "latin.csv", "--opening-stock"), NUMBERS),
    (("run", "latin.csv", "--decline-rate"), NUMBERS),
    (("run", "latin.csv", "--seed"), NUMBERS),
    (("run", "latin.csv", "--concurrency"), NUMBERS),
    (("run", "latin.csv", "--rejects"), (*FILES, "x.db", "x.db-wal", "x.db-shm")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with odd files, a ledger with one saga, and its app; it is the current folder."""
    made = tmp_path_factory.mktemp("odd")
    for name, content in ODD_FILES.items():
        (made / name).write_bytes(content)
    (made / "app.py").write_text(APP)
    (made / "exits.py").write_text("raise SystemExit(7)\n")
    (made / "secret.csv").write_text(HEADER)
    (made / "secret.csv").chmod(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("SAGALEDGER_DB", "sqlite:///x.db")
        patch.setenv("SAGALEDGER_APP", "app.py:APP")
        patch.delenv("SAGALEDGER_DEBUG", raising=False)
        assert run(["start", "s", "--input", "{}", "--id", "1"]) == 0
        yield made


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("words", "values"), MATRIX, ids=lambda value: " ".join(value)[:60].strip() or "x")
def test_every_value_ends_with_a_documented_exit_code(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], values: tuple[str, ...]
) -> None:
    """Odd texts, numbers, times, JSON and files: never 70, never a traceback, never a control character."""
    for value in values:
        code = run([*words, value])
        said = capsys.readouterr()
        case = (words, value[:60], int(code), said.err[:300])
        assert code in DOCUMENTED, case
        assert "Traceback" not in said.err, case
        assert not any(mark in said.out + said.err for mark in "\x1b\x07\u202e"), case


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("list >&-", {0}),
        ("list <&- >&- 2>&-", {0}),
        ("start s --input - <&-", {2}),
        ("start s --input {} --id 2 >&-", {0}),
        ("list --json > /dev/full", {2}),
        ("--help > /dev/full", {2}),
        ("list 2> /dev/full", {0}),
        ("list > /dev/full 2>&1", {2}),
        ("state s-1 2>&1 >&- | head -0", {0}),
        ("run times.csv --app shop 2>&- >&-", {0}),
        ("show $'s-\\xff'", {2}),
    ],
)
def test_a_descriptor_that_cannot_be_used_ends_with_a_documented_exit_code(
    folder: Path, line: str, codes: set[int]
) -> None:
    """Closed or full stdin, stdout and stderr. A closed one is never that of the ledger's file."""
    shell = Shell(folder, "sqlite:///x.db")
    shell.environment["SAGALEDGER_APP"] = "app.py:APP"
    done = shell.line(f"sagaledger {line}")
    assert done.returncode in codes, (line, done)
    assert "Traceback" not in done.stderr
    assert (folder / "x.db").read_bytes().startswith(b"SQLite format 3\0")


def test_a_folder_that_is_gone_is_no_internal_error(folder: Path) -> None:
    """The current folder was deleted; every command names what it cannot find."""
    for words in ("list", "--app app.py:APP list", "init"):
        done = subprocess.run(
            ["bash", "-c", f"mkdir -p gone && cd gone && rmdir ../gone && {PROGRAM} {words}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "SAGALEDGER_DB": "sqlite:///y.db"},
        )
        assert done.returncode in DOCUMENTED - {0}, done
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CorruptEvent("Topic", "bad"), ExitCode.VERIFICATION_FAILED),
        (OutcomeUnknown("id", "lost"), ExitCode.UNAVAILABLE),
        (SupersededWorker("w", 1), ExitCode.CONFLICT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_of_these_errors_has_its_own_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, code: ExitCode
) -> None:
    """A damaged event is a failed verification, an unknown outcome an outage, a lost lease a conflict."""

    def build() -> object:
        def command(_: list[str]) -> None:
            raise error

        return command

    monkeypatch.setattr("sagaledger.infrastructure.cli.registry.build", build)
    assert run(["any"]) is code is exit_code_of(error)  # type: ignore[arg-type]
    assert capsys.readouterr().err == f"sagaledger: {error}\n"
