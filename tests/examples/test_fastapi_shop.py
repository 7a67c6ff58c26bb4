"""The FastAPI shop: its two commands, run for real; it is stopped in the middle of a saga, and its own tests pass."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sagaledger import Ledger, Status

from ..cli.fork_server import fork_server
from ..documents.run_page import IN_A_FORK
from ..guides.guide import only_with_make_guides

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

SHOP = Path(__file__).parents[2] / "examples" / "fastapi_shop"
CREATE, SERVE = re.findall(r"```sh\n(.*?)```", (SHOP / "README.md").read_text(), re.DOTALL)[0].splitlines()
PROGRAMS = Path(sys.executable).parent
PATIENCE_SECONDS = 60.0


class RunningShop:
    """The shop in a process, as a browser sees it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json"})  # noqa: S310 -- it is http
        with urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            return json.load(answer)


@pytest.mark.parametrize("database", ["postgres_url", pytest.param("sqlite_url", marks=only_with_make_guides)])
def test_it_is_stopped_in_the_middle_of_a_saga_and_goes_on(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The step that runs ends and is recorded, no other begins, and the next process does the rest, each thing once."""
    environment = environment_of(request.getfixturevalue(database), tmp_path)
    subprocess.run(command(CREATE), cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    order = {"customer": "ann", "lines": [{"sku": "TEAPOT", "quantity": 2, "price_minor": 1500}]}

    with serving(tmp_path, {**environment, "SHOP_SERVICE_SECONDS": "0.6"}) as shop:
        placed = shop.ask("/orders", order)
        until(lambda: effects(tmp_path))
        shop.process.send_signal(signal.SIGTERM)
        shop.process.wait(PATIENCE_SECONDS)
    with Ledger.open(environment["SHOP_LEDGER"]) as ledger:
        stopped = ledger.state(placed["saga_id"])
    charged = effects(tmp_path)
    with serving(tmp_path, environment) as shop:
        until(lambda: shop.ask(f"/orders/{placed['order_id']}")["status"] == Status.COMPLETED)
        last = shop.ask(f"/orders/{placed['order_id']}/history")[-1]["position"]
        stock = shop.ask(f"/stock?wait_for={last}")["articles"]

    payment, parcel = (("PUT", f"/{kind}/{placed['order_id']}", 1) for kind in ("payments", "parcels"))
    assert stopped.status is Status.RUNNING
    assert stopped.step("charge").forward.progress == "done"
    assert "send_parcel" not in stopped.steps
    assert charged == [payment]
    assert effects(tmp_path) == [payment, parcel]
    assert {row["sku"]: (row["on_hand"], row["reserved"], row["sold"]) for row in stock} == {
        "LAMP": (5, 0, 0),
        "TEAPOT": (48, 0, 2),
    }


@pytest.mark.parametrize("file", ["test_fulfilment.py", pytest.param("test_web.py", marks=only_with_make_guides)])
def test_its_own_tests_pass(file: str, tmp_path: Path) -> None:
    """As a user of the example would run them; those of the web application say what the test above shows, too."""
    words = ["-m", "pytest", "-q", *IN_A_FORK.split(), "-p", "no:xdist", f"--basetemp={tmp_path}", f"tests/{file}"]
    with TemporaryFile("w+") as given, TemporaryFile("w+") as printed:
        files = [given, printed, printed]
        code = fork_server().run(words, SHOP, dict(os.environ), files, PATIENCE_SECONDS, program="python")
        printed.seek(0)

        assert code == 0, printed.read()[-4000:]


def environment_of(url: str, folder: Path) -> dict[str, str]:
    """The variables of the shop, with both databases where the test wants them."""
    database = url if url.startswith("postgresql") else f"sqlite:///{folder / 'webshop.db'}"
    return {**os.environ, "PYTHONPATH": str(SHOP), "SHOP_DB": database, "SHOP_LEDGER": url}


def command(line: str) -> list[str]:
    """A line of the README, with the programs of this environment."""
    program, *arguments = shlex.split(line)
    return [str(PROGRAMS / program), *arguments]


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[RunningShop]:
    """The second command of the README, on a free port, from when it answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (folder / "shop.log").open("ab") as log:
        process = subprocess.Popen(
            command(SERVE), cwd=folder, env={**environment, "UVICORN_PORT": str(port)}, stdout=log, stderr=log
        )
    try:
        shop = RunningShop(process, port)
        until(lambda: answers(shop))
        yield shop
    finally:
        process.kill()
        process.wait()


def answers(shop: RunningShop) -> bool:
    """Whether the shop is up."""
    if shop.process.poll() is not None:
        pytest.fail("the shop ended")
    try:
        return bool(shop.ask("/health")["ready"])
    except OSError:
        return False


def effects(folder: Path) -> list[tuple[str, str, int]]:
    """What the simulated services did, and how often each was asked for."""
    with sqlite3.connect(folder / "webshop-services.db") as services:
        found = services.execute("SELECT method, path, requests FROM effects ORDER BY number").fetchall()
    services.close()
    return found


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
