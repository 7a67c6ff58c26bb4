"""The files that commands write, replace and load: only their own, and the ones that were named."""

from __future__ import annotations

import calendar
from pathlib import Path

import pytest

from sagaledger.infrastructure.cli.app_loader import load_app

from .shell import Shell

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
APP = """
from sagaledger import App, Saga
S = Saga("{}", input=dict)
@S.step(compensable=False)
async def go(value, context): ...
"""


@pytest.mark.parametrize("target", ["orders.csv", "link.csv", "x.db", "x.db-wal", "./sub/../x.db-shm", "x.db-worker"])
def test_rejects_never_go_to_a_file_of_the_run(sqlite_shell: Shell, target: str) -> None:
    """The input, a link to it, and the ledger: refused with exit code 2 before anything is read or written."""
    content = f"{HEADER}1,A,HEART,many,2010-12-01,2.55,,\n"
    (sqlite_shell.folder / "orders.csv").write_text(content)
    (sqlite_shell.folder / "link.csv").symlink_to("orders.csv")
    (sqlite_shell.folder / "sub").mkdir()
    before = sorted(sqlite_shell.folder.iterdir())

    done = sqlite_shell("run", "orders.csv", "--rejects", target, "--db", "sqlite:///x.db")

    assert (done.returncode, "--rejects" in done.stderr) == (2, True), done.stderr
    assert (sqlite_shell.folder / "orders.csv").read_text() == content
    assert sorted(sqlite_shell.folder.iterdir()) == before


def test_the_demo_does_not_replace_an_empty_ledger(sqlite_shell: Shell) -> None:
    """It may be about to be used."""
    assert sqlite_shell("init", "--db", "sqlite:///mine.db").returncode == 0
    before = (sqlite_shell.folder / "mine.db").stat().st_ino

    done = sqlite_shell("demo", "--db", "sqlite:///mine.db")

    assert (done.returncode, "mine.db" in done.stderr) == (4, True)
    assert (sqlite_shell.folder / "mine.db").stat().st_ino == before
    assert not (sqlite_shell.folder / "mine.rejects.csv").exists()


def test_the_demo_leaves_nothing_that_git_would_track(sqlite_shell: Shell) -> None:
    """Everything that it writes in a checkout is ignored."""
    ignore = Path(__file__).parents[2] / ".gitignore"
    (sqlite_shell.folder / ".gitignore").write_text(ignore.read_text())
    assert sqlite_shell("demo").returncode == 0
    status = sqlite_shell.line("git init -q . && git status --porcelain --untracked-files=all")
    assert status.stdout.split() == ["??", ".gitignore"]


@pytest.mark.parametrize("name", ["calendar", "json", "my-app", "pytest"])
def test_the_file_that_was_named_is_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Also where Python or an imported package has a module of its name; what others import by it stays theirs."""
    saga = f"from_{name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(f"import sibling_of_app\n{APP.format(saga)}APP = App(sagas=[S])\n")
    (tmp_path / "sibling_of_app.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path.parent))

    assert [each.name for each in load_app(f"{name}.py:APP").definitions] == [saga]
    assert hasattr(calendar, "monthrange")


def test_an_app_that_ends_the_program_is_not_loaded(sqlite_shell: Shell) -> None:
    """Its exit code is not passed off as one of the command's."""
    (sqlite_shell.folder / "ends.py").write_text("raise SystemExit(7)\n")
    done = sqlite_shell("list", "--app", "ends.py:APP")
    assert (done.returncode, "SystemExit" in done.stderr) == (2, True)
