"""The files of `deploy/`: checked by the programs that read them, and run as far as this machine can."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest
import yaml

from sagaledger import Ledger, Worker
from sagaledger.infrastructure.cli.exit_codes import ExitCode

from .guide import only_with_make_guides

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAMS = Path(sys.executable).parent
EXPOSURE_MAX = 2.0
DRAIN_SECONDS = 10.0
PATIENCE_SECONDS = 60.0


def unit(path: Path) -> ConfigParser:
    """Read a unit, in which an option may stand more than once."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_a_unit_and_finds_little_exposure(path: Path, tmp_path: Path) -> None:
    """With the programs of this environment in the place of those in `/srv`."""
    installed = tmp_path / path.name.replace("@", "@shop")
    text = re.sub(r"/srv/(%i|shop)/\.venv/bin", str(PROGRAMS), path.read_text())
    installed.write_text(re.sub(r"^WorkingDirectory=.*$", f"WorkingDirectory={tmp_path}", text, flags=re.MULTILINE))

    verified = subprocess.run(["systemd-analyze", "verify", installed], capture_output=True, text=True, check=False)
    exposed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", installed], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", exposed.stdout)
    assert float(exposure) <= EXPOSURE_MAX


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_waits_longer_than_a_worker_drains(path: Path) -> None:
    """It asks with a signal that ends the running steps, and asks the main process alone."""
    service = unit(path)["Service"]
    requests = re.search(r"--timeout-graceful-shutdown (\d+)", service["ExecStart"])

    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")
    assert int(service["TimeoutStopSec"]) >= DRAIN_SECONDS + int(requests[1] if requests else 0) + 10


def test_what_a_restart_cannot_mend_is_not_restarted() -> None:
    """By the exit codes of the command line."""
    service = unit(DEPLOY / "systemd" / "sagaledger-worker@.service")["Service"]

    given = {ExitCode(int(code)) for code in service["RestartPreventExitStatus"].split()}

    assert given == {ExitCode.USAGE, ExitCode.NOT_FOUND, ExitCode.CONFLICT, ExitCode.VERIFICATION_FAILED}
    assert Worker.__init__.__kwdefaults__ is not None
    assert Worker.__init__.__kwdefaults__["drain_seconds"] == DRAIN_SECONDS


def test_the_image_copies_what_exists_and_runs_as_no_root() -> None:
    """As far as its text says."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?:--\S+ )*(\S+) ", dockerfile, re.MULTILINE)
    named = re.findall(r"/source/(\S+)", dockerfile)

    assert [path for path in (*copied, *named) if not (ROOT / path).exists()] == []
    assert re.findall(r"^(USER|STOPSIGNAL|CMD) (.*)$", dockerfile, re.MULTILINE) == [
        ("USER", "app"),
        ("STOPSIGNAL", "SIGTERM"),
        ("CMD", '["sagaledger", "worker"]'),
    ]


def compose() -> dict[str, Any]:
    """The services of the compose file."""
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


def test_a_container_is_waited_for_longer_than_a_worker_drains() -> None:
    """Docker kills after ten seconds unless it is told otherwise."""
    services = compose()

    assert [int(services[name]["stop_grace_period"][:-1]) for name in ("web", "worker")] == [45, 30]
    assert "exec" not in str(services["worker"]["command"])


@only_with_make_guides
def test_the_commands_of_the_compose_file_are_a_shop(postgres_server: str, tmp_path: Path) -> None:
    """Run as processes: an order is placed, and both that have a worker stop at SIGTERM."""
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute("CREATE DATABASE composed")
    url = postgres_server.replace("/postgres?", "/composed?")
    services, ports = compose(), {name: free_port() for name in ("services", "web")}
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "examples" / "fastapi_shop"),
        "SAGALEDGER_APP": "webshop.fulfilment:app",
        **{name: str(value) for name, value in services["web"]["environment"].items()},
        "SHOP_DB": url,
        "SHOP_LEDGER": url,
        "SAGALEDGER_DB": url,
        "SHOP_SERVICES": f"http://127.0.0.1:{ports['services']}",
    }

    def words(name: str) -> list[str]:
        instead = {"0.0.0.0": "127.0.0.1", "/tmp/services.db": "services.db"}  # noqa: S104, S108
        given = [instead.get(word, word) for word in services[name]["command"]]
        if "--port" in given:
            given[given.index("--port") + 1] = str(ports[name])
        return [str(PROGRAMS / given[0]), *given[1:]]

    subprocess.run(words("create"), cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(process(words(name), tmp_path, environment))
            for name in ("services", "web", "worker")
        }
        until(lambda: answer(f"http://127.0.0.1:{ports['web']}/health")["ready"])
        line = {"sku": "LAMP", "quantity": 1, "price_minor": 4_500}
        placed = answer(f"http://127.0.0.1:{ports['web']}/orders", {"customer": "ann", "lines": [line]})
        order = f"http://127.0.0.1:{ports['web']}/orders/{placed['order_id']}"
        until(lambda: answer(order)["status"] == "completed")
        for name in ("web", "worker"):
            running[name].send_signal(signal.SIGTERM)
        ended = [running[name].wait(PATIENCE_SECONDS) for name in ("web", "worker")]

    assert ended[0] in (0, -signal.SIGTERM)
    assert ended[1] == 0
    with Ledger.open(url) as ledger:
        assert ledger.state(placed["saga_id"]).status == "completed"


@only_with_make_guides
def test_docker_builds_and_runs_the_shop() -> None:
    """The whole of `compose.yaml`, where a daemon, its plugin and the images of the registry can be reached."""
    if shutil.which("docker") is None or docker("info").returncode or docker("compose", "version").returncode:
        pytest.skip("there is no Docker daemon with its compose plugin")
    if docker("pull", "postgres:18").returncode:
        pytest.skip("the images of Python and PostgreSQL cannot be fetched")
    file = ("compose", "--file", str(DEPLOY / "compose.yaml"))
    try:
        up = docker(*file, "up", "--build", "--wait")
        assert up.returncode == 0, up.stdout + up.stderr
        line = {"sku": "LAMP", "quantity": 1, "price_minor": 4_500}
        placed = answer("http://127.0.0.1:8000/orders", {"customer": "ann", "lines": [line]})
        until(lambda: answer(f"http://127.0.0.1:8000/orders/{placed['order_id']}")["status"] == "completed")
        docker(*file, "stop")
        states = [json.loads(line) for line in docker(*file, "ps", "--all", "--format", "json").stdout.splitlines()]
        assert {state["Service"]: state["ExitCode"] for state in states}["worker"] == 0
    finally:
        docker(*file, "down", "--volumes")


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Docker."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=600)


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(words: list[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the end of the block."""
    started = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def answer(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=20) as found:  # noqa: S310
        return json.load(found)


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition; a server that is not up yet does not fulfil it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
