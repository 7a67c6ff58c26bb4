"""One SQLite file is one ledger by whatever path it is reached, and what the URL says of it holds."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from sagaledger.infrastructure.errors import PermanentlyUnavailable, Unavailable, WorkerRunning
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.verification import verify_ledger

from ..ledger.trip import APP, Trip, trip


def _symbolic_link(real: Path, other: Path) -> str:
    (other / "link.db").symlink_to(real)
    return str(other / "link.db")


def _linked_folder(real: Path, other: Path) -> str:
    (other / "folder").symlink_to(real.parent)
    return str(other / "folder" / real.name)


def _hard_link(real: Path, other: Path) -> str:
    os.link(real, other / "hard.db")
    return str(other / "hard.db")


def _dots(real: Path, _: Path) -> str:
    return str(real.parent / ".." / real.parent.name / real.name)


def _relative(real: Path, other: Path) -> str:
    os.chdir(other)
    return os.path.relpath(real)


def _moved(real: Path, other: Path) -> str:
    real.rename(other / "moved.db")
    return str(other / "moved.db")


@pytest.mark.parametrize("reach", [_symbolic_link, _linked_folder, _hard_link, _dots, _relative, _moved])
def test_a_file_takes_one_worker_by_whatever_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach: Callable[[Path, Path], str]
) -> None:
    """The second worker is refused, and gets the file once the first has ended."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    real = tmp_path / "a" / "real.db"
    open_backend(f"sqlite:///{real}").close()
    path = reach(real, tmp_path / "b")
    first = open_backend(f"sqlite:///{real if real.exists() else path}")
    first.register(host="h", pid=1, lease_seconds=60)

    second = open_backend(f"sqlite:///{path}")
    with pytest.raises(WorkerRunning):
        second.register(host="h", pid=2, lease_seconds=60)

    first.close()
    second.close()
    third = open_backend(f"sqlite:///{path}")
    third.register(host="h", pid=2, lease_seconds=60)
    third.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the locks of a file")
def test_two_names_of_a_file_are_not_written_to_at_once(tmp_path: Path) -> None:
    """SQLite would keep two write-ahead logs, and damage the file. One name at a time is as good as another."""
    open_backend(f"sqlite:///{tmp_path}/real.db").close()
    first = Ledger.open(f"sqlite:///{tmp_path}/real.db", APP)
    first.start(trip, Trip("Rome", 1))
    os.link(tmp_path / "real.db", tmp_path / "hard.db")

    with (
        Ledger.open(f"sqlite:///{tmp_path}/hard.db", APP) as second,
        pytest.raises(PermanentlyUnavailable, match="open under another of its names"),
    ):
        second.start(trip, Trip("Oslo", 1))
    with Ledger.open(f"sqlite:///{tmp_path}/real.db", APP) as beside:
        beside.start(trip, Trip("Oslo", 1))

    first.close()
    with Ledger.open(f"sqlite:///{tmp_path}/hard.db", APP) as alone:
        alone.start(trip, Trip("Bern", 1))
        assert verify(alone.backend).problems == []
        assert alone.backend.head().position == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the locks of a file")
def test_a_new_ledger_under_another_name_is_not_taken_for_an_empty_file(tmp_path: Path) -> None:
    """All that it has is in the write-ahead log beside its first name."""
    first = open_backend(f"sqlite:///{tmp_path}/real.db")
    os.link(tmp_path / "real.db", tmp_path / "hard.db")

    with pytest.raises(PermanentlyUnavailable, match="open under another of its names"):
        open_backend(f"sqlite:///{tmp_path}/hard.db")

    first.close()


def test_a_relative_path_stays_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for connections that are opened after the process has changed to another folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with Ledger.open("sqlite:///ledger.db", APP) as ledger:
        monkeypatch.chdir(tmp_path / "elsewhere")
        ledger.start(trip, Trip("Rome", 1))
        ledger.projector().catch_up()
        assert len(ledger.query("sagas").rows) == 1
        url = ledger.backend.url

    assert list((tmp_path / "elsewhere").iterdir()) == []
    with Ledger.open(url, APP, must_exist=True) as again:
        assert again.backend.head().position == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///:memory:", "in memory.*a ledger needs a file"),
        ("sqlite:///file::memory:", "in memory.*a ledger needs a file"),
        ("sqlite:///file::memory:?cache=shared", "in memory.*a ledger needs a file"),
        ("sqlite:///ledger.db?mode=memory", "in memory.*a ledger needs a file"),
        ("sqlite:///file:ledger.db?mode=memory&cache=shared", "in memory.*a ledger needs a file"),
        ("sqlite:///file:ledger.db", "give the path alone"),
        ("sqlite:///ledger.db?mode=rwc", r"knows only \?mode=ro"),
        ("sqlite:///ledger.db?mode=ro&immutable=1", r"knows only \?mode=ro"),
        ("sqlite:///ledger.db?timeout=5", r"knows only \?mode=ro"),
        ("sqlite:///ledger.db?mode=ro", "there is no ledger in"),
        ("sqlite:///ledger\0.db", "names no file"),
        ("sqlite:///" + "x" * 300, "cannot be opened"),
    ],
)
def test_a_url_that_names_no_file_creates_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    """It is refused with the reason."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(Unavailable, match=reason):
        open_backend(url)

    assert list(tmp_path.iterdir()) == []


def refuse(*_: object, **__: object) -> None:
    """A call that the system does not permit."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("system", ["linux", "macos"])
def test_a_new_file_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """And so are the files that SQLite and the worker put beside it; macOS lets only root make a file's node."""
    if system == "macos":
        monkeypatch.setattr(os, "mknod", refuse)
    backend = open_backend(f"sqlite:///{tmp_path}/ledger.db")
    backend.register(host="h", pid=1, lease_seconds=60)
    backend.head()

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}

    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-worker"), 0o600)
    backend.close()


@pytest.mark.parametrize("has_writer", [False, True])
def test_a_read_only_ledger_answers_every_question(sqlite_url: str, has_writer: bool) -> None:
    """It creates no file, sees what a writer commits meanwhile, and says that it may not write."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    writer = Ledger.open(sqlite_url, APP)
    writer.start(trip, Trip("Rome", 1))
    writer.projector().catch_up()
    if not has_writer:
        writer.close()
    before = sorted(path.parent.iterdir())

    with Ledger.open(f"{sqlite_url}?mode=ro", APP) as ledger:
        assert len(ledger.query("sagas").rows) == 1
        assert ledger.state("trip-Rome.1").version == 1
        assert (
            verify_ledger(ledger.context, expect=None, progress=lambda _: nullcontext(lambda *_: None)).problems == []
        )
        with pytest.raises(PermanentlyUnavailable, match="read-only"):
            ledger.start(trip, Trip("Oslo", 1))
        with pytest.raises(PermanentlyUnavailable, match="read-only"):
            ledger.backend.register(host="h", pid=1, lease_seconds=60)
        assert sorted(path.parent.iterdir()) == before
        if not has_writer:
            writer = Ledger.open(sqlite_url, APP)
        writer.start(trip, Trip("Oslo", 1))
        assert ledger.backend.head().position == 2

    writer.close()


def test_a_read_only_ledger_behind_a_symbolic_link_sees_what_is_written(tmp_path: Path) -> None:
    """The write-ahead log is beside the file, not beside the link."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(tmp_path / "real.db")

    with Ledger.open(f"sqlite:///{tmp_path}/real.db", APP) as writer:
        writer.start(trip, Trip("Rome", 1))
        with Ledger.open(f"sqlite:///{link}?mode=ro", APP) as reader:
            assert reader.backend.head().position == 1
            writer.start(trip, Trip("Oslo", 1))
            assert reader.backend.head().position == 2
