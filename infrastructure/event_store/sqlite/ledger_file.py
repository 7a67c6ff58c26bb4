"""One SQLite file on disk: its one identity, who may read it, and how it is opened.

A path is made absolute when the ledger is opened, and symbolic links are followed, so that one file has one path
whatever directory the process changes to.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote

from ...errors import NotALedger, PermanentlyUnavailable, Unavailable
from ...runtime.failpoints import failpoint
from .connection import SqliteConnection, connect
from .hard_links import is_open_under_another_name

_QUERY: Final = re.compile(r"\?(\w+=.*)$", re.DOTALL)
"""A `?` with a parameter after it. Any other `?` is a part of the file's name."""
_NEW_FILE_MODE: Final = 0o600
"""A ledger has the input of every saga: others on the machine may not read it unless its owner lets them."""


class LedgerFile:
    """A ledger's file.

    It is `read_only` if the URL says so, if the file or its folder cannot be written to, or if another of its names is
    in use: then it shows what was checkpointed.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = Path(os.path.realpath(path))
        self.is_open_elsewhere = is_open_under_another_name(self.path)
        self.read_only = read_only or self.is_open_elsewhere or self._is_protected()

    @classmethod
    def of_url(cls, url: str) -> LedgerFile:
        """Return the file that a SQLite URL names.

        Raises `Unavailable` for a database in memory, for `file:` names, and for parameters other than `mode=ro`.
        """
        name = url.removeprefix("sqlite:///")
        query = _QUERY.search(name)
        parameters = dict(parse_qsl(query[1], keep_blank_values=True)) if query else {}
        if query:
            name = name[: query.start()]
        if name in (":memory:", "file::memory:") or parameters.get("mode") == "memory" or "mode=memory" in name:
            raise Unavailable(
                f"{url!r} is a database in memory, of which every connection sees another one: a ledger needs a file, "
                "such as sqlite:///ledger.db"
            )
        if name.startswith("file:"):
            raise Unavailable(
                f"{url!r} has a SQLite file: name in it: give the path alone, such as sqlite:///ledger.db"
            )
        if parameters and parameters != {"mode": "ro"}:
            raise Unavailable(f"the URL {url!r} has parameters, and a SQLite file knows only ?mode=ro (read-only)")
        if not name or "\0" in name:
            raise Unavailable(f"{url!r} names no file: use sqlite:///ledger.db")
        return cls(Path(name), read_only=bool(parameters))

    @property
    def url(self) -> str:
        """The URL by which a process in any folder opens the file in the same way."""
        return f"sqlite:///{self.path}" + ("?mode=ro" if self.read_only and not self.is_open_elsewhere else "")

    def check_path(self) -> None:
        """Raise `NotALedger` or `Unavailable` if there can be no file of this name."""
        try:
            is_folder, has_folder = self.path.is_dir(), self.path.parent.is_dir()
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be opened: {error.strerror}") from error
        if is_folder:
            raise NotALedger(
                f"{self.path} is a folder, not a SQLite file: name a file in it, such as sqlite:///{self.path}/ledger.db"
            )
        if not has_folder:
            raise Unavailable(f"the folder {self.path.parent} does not exist: create it, or correct the URL")

    def create(self) -> None:
        """Create the file for its owner alone, unless it exists. SQLite gives the files beside it the same mode."""
        with suppress(OSError), failpoint("file create"):
            # Not `os.open`: closing a descriptor would drop the locks that another thread has on the file by then.
            try:
                os.mknod(self.path, _NEW_FILE_MODE | stat.S_IFREG)
            except PermissionError:  # macOS allows it to root only
                if not self.path.exists():
                    self._create_by_link()

    def _create_by_link(self) -> None:
        """Create the file under another name, and give it its own when no descriptor of it is open any more."""
        descriptor, name = tempfile.mkstemp(prefix=".sagaledger-", dir=self.path.parent)
        try:
            os.close(descriptor)
            os.link(name, self.path)
        finally:
            Path(name).unlink()

    def connect(self, *, timeout_seconds: float, create: bool = False) -> SqliteConnection:
        """Return a connection in autocommit. It creates no file unless told to."""
        if self.read_only:
            # Without a write-ahead log nobody has the file open to write, and SQLite need not create one to read.
            unlogged = "" if self._has_log() else "&immutable=1"
            return connect(self._uri(f"mode=ro{unlogged}"), timeout_seconds=timeout_seconds, uri=True)
        return connect(self._uri(f"mode={'rwc' if create else 'rw'}"), timeout_seconds=timeout_seconds, uri=True)

    def refuse_writing(self) -> None:
        """Raise `PermanentlyUnavailable` if the file is read-only."""
        if self.is_open_elsewhere:
            raise PermanentlyUnavailable(
                f"{self.path} is open under another of its names (hard links), and SQLite keeps a write-ahead log for "
                "each: use the name that is open, and remove the others"
            )
        if self.read_only:
            raise PermanentlyUnavailable(
                f"{self.path} is read-only here: make the file and its folder writable, and leave out ?mode=ro"
            )

    def _uri(self, query: str) -> str:
        return f"file:{quote(str(self.path))}?{query}"

    def _has_log(self) -> bool:
        try:
            return Path(f"{self.path}-wal").stat().st_size > 0
        except OSError:
            return False

    def _is_protected(self) -> bool:
        try:
            if not self.path.is_file():
                return False
        except OSError:  # `check_path` says what is wrong with it
            return False
        folder_is_protected = not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists()
        return folder_is_protected or not os.access(self.path, os.W_OK)
