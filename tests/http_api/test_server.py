"""The command `serve`: a process with a worker beside it, which answers what it has begun before it ends."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..cli.shell import Shell

APP_FILE = Path(__file__).with_name("app.py")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell with the app in its folder."""
    opened = Shell(tmp_path, "sqlite:///ledger.db")
    shutil.copy(APP_FILE, tmp_path / "payouts.py")
    opened.environment["SAGALEDGER_APP"] = "payouts:APP"
    yield opened
    opened.close()


def serving(shell: Shell, *words: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server; returns its process, and the address of its API."""
    process = shell.background("serve", "--port", "0", *words)
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.search(r" at (http://\S+)", said)
    assert found is not None, said + process.stderr.read()
    return process, found[1]


def test_a_saga_is_started_watched_and_approved_and_its_server_drains(shell: Shell) -> None:
    """What was asked before the signal is answered after it, and a stream of events keeps no server from its end."""
    process, url = serving(shell, "--worker")
    with httpx.Client(base_url=url, timeout=30) as client:
        key = {"Idempotency-Key": "1"}
        body = {"definition": "payout", "input": {"number": "P1"}}
        started = client.post("/sagas", json=body, headers=key).json()
        seen: list[str] = []
        with client.stream("GET", "/events", params={"after": 0, "saga": started["saga_id"]}) as events:
            for line in events.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:])["event"])
                if seen.count("StepStarted") == 2 and seen[-1] == "StepStarted":
                    client.post(
                        "/sagas/payout-P1/steps/approval/approve",
                        json={"reason": "it is right", "payload": "bob"},
                        headers={"Idempotency-Key": "2"},
                    )
                if seen and seen[-1] == "SagaCompleted":
                    break
        other = {"definition": "payout", "input": {"number": "P2"}}
        client.post("/sagas", json=other, headers={"Idempotency-Key": "3"})
        with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as waiting:
            path = f"{client.base_url.path}sagas/payout-P2/wait?timeout=1"
            waiting.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            with client.stream("GET", "/events") as events:
                assert next(events.iter_lines())
                process.terminate()
                assert process.wait(30) == 0
            answer = waiting.makefile("rb").readline()

    assert answer.split()[1] == b"504"
    assert seen[0] == "SagaStarted"


def test_what_cannot_be_served_is_refused(shell: Shell) -> None:
    """An address that other machines reach, and a port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = [
            shell("serve", "--host", "0.0.0.0"),  # noqa: S104 -- it is refused
            shell("serve", "--port", port),
        ]

    assert [done.returncode for done in refused] == [2, 2]
    assert all(word in done.stderr for word, done in zip(("tokens", port), refused, strict=True))
    assert all(done.stderr.count("\n") == 1 for done in refused)
