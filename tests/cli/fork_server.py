"""Runs commands in forks of a process that has imported the whole program.

A command spends most of its time on importing, and the tests run many hundreds. Each is a process all the same, with
the arguments, the folder, the environment and the files that it is given.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

LENGTH_BYTES = 8


class ForkServer:
    """The process that forks, as its client sees it: one command at a time."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        atexit.register(self._close)

    def run(
        self,
        words: list[str],
        folder: Path,
        environment: dict[str, str],
        files: list[IO[str]],
        timeout_seconds: float,
        *,
        program: str = "sagaledger",
    ) -> int:
        """Run a command with these three standard files; returns its exit code, negative for a signal.

        `program` is `sagaledger`, or `python` with a file or `-m` and a module. Raises `subprocess.TimeoutExpired`.
        """
        request = json.dumps([[program, *words], str(folder), environment]).encode()
        length = len(request).to_bytes(LENGTH_BYTES, "big")
        socket.send_fds(self._connection, [length], [file.fileno() for file in files])
        self._connection.sendall(request)
        process_id = int.from_bytes(_received(self._connection, LENGTH_BYTES), "big")
        self._connection.settimeout(timeout_seconds)
        try:
            status = int.from_bytes(_received(self._connection, LENGTH_BYTES), "big")
        except TimeoutError:
            os.kill(process_id, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, timeout_seconds) from None
        finally:
            self._connection.settimeout(None)
        return os.waitstatus_to_exitcode(status)

    def _close(self) -> None:
        self._connection.close()
        self._process.wait()


@cache
def fork_server() -> ForkServer:
    """The one of this process."""
    return ForkServer()


def _received(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionError("the other side has ended")
        received += part
    return received


def _serve(connection: socket.socket) -> None:
    while True:
        length, files, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 3)
        if not length:
            return
        words, folder, environment = json.loads(_received(connection, int.from_bytes(length, "big")))
        process_id = os.fork()
        if process_id == 0:
            connection.close()
            _become(words, folder, environment, files)
        for file in files:
            os.close(file)
        connection.sendall(process_id.to_bytes(LENGTH_BYTES, "big"))
        _, status = os.waitpid(process_id, 0)
        connection.sendall(status.to_bytes(LENGTH_BYTES, "big"))


def _become(words: list[str], folder: str, environment: dict[str, str], files: list[int]) -> NoReturn:
    """Do what the installed program does, and end as Python ends."""
    code: Any = 1
    try:
        for standard, file in enumerate(files):
            os.dup2(file, standard)
            os.close(file)
        buffering = 1 if "PYTHONUNBUFFERED" in environment else -1
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", buffering, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = words
        try:
            if words[0] == "python":
                _run_python()
                code = 0
            else:
                from sagaledger.infrastructure.cli.main import main  # noqa: PLC0415

                main()
        except SystemExit as end:
            code = end.code
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  # as Python does at the top of a program
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _run_python() -> None:
    """Do what `python FILE …` and `python -m MODULE …` do."""
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


def _import_all() -> None:

    import sagaledger  # noqa: PLC0415

    for module in pkgutil.walk_packages(sagaledger.__path__, "sagaledger."):
        importlib.import_module(module.name)


if __name__ == "__main__":
    _import_all()
    with socket.socket(fileno=int(sys.argv[1])) as served:
        _serve(served)
