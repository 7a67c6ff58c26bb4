"""What telemetry costs a worker: sagas for each second of its CPU time, observed and not.

The CPU time of the worker's process has all that telemetry does, the sending of spans included, and is steadier than
the time by the clock. The sagas do nothing, so nothing hides the cost; each has five spans of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import process_time

from sagaledger import Telemetry

from .findings import Findings
from .measuring import in_turn
from .setting import Setting
from .workload import drive

AT_ONCE = 512
OFF = "off"
SHARES = {"metrics": None, "1_in_100_traced": 0.01, "all_traced": 1.0}
"""Which share of the sagas is traced; None: there is no receiver of spans."""
RECEIVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def telemetry(setting: Setting) -> Findings:
    """Measure how many sagas end for a second of CPU time, with metrics alone, and with spans of some or all sagas."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: sagas with and without telemetry")
        with _receiver() as endpoint:
            contenders: dict[str, Callable[[], float]] = {OFF: partial(_sagas, setting, backend, None)}
            for name, share in SHARES.items():
                contenders[name] = partial(_observed, setting, backend, None if share is None else endpoint, share)
            rounds = in_turn(contenders, setting.sizes.rounds)
        for name in rounds:
            found.figures[f"sagas_per_cpu_second_{backend}_telemetry_{name}"] = rounds.median(name)
        for name in SHARES:
            found.ratios[f"telemetry_{name}_vs_off_{backend}"] = rounds.ratio(name, OFF)
    return found


def _sagas(setting: Setting, backend: str, observer: Telemetry | None) -> float:
    url, sagas = setting.databases.fresh(backend), setting.sizes.sagas_at_once
    drive(url, min(AT_ONCE, sagas), AT_ONCE, name="before", observer=observer)
    began = process_time()
    drive(url, sagas, AT_ONCE, warm_up=False, observer=observer)
    return sagas / (process_time() - began)


def _observed(setting: Setting, backend: str, endpoint: str | None, share: float | None) -> float:
    with _environment(endpoint, share), closing(Telemetry()) as observer:
        assert (observer.spans is None) == (endpoint is None)
        return _sagas(setting, backend, observer)


@contextmanager
def _environment(endpoint: str | None, share: float | None) -> Iterator[None]:
    """Set the variables that say where spans go, and which share of the sagas is traced."""
    wanted = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": None if share is None else "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": None if share is None else str(share),
    }
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _receiver() -> Iterator[str]:
    """Run a receiver of spans in a process of its own, which drops them; yields its URL."""
    with subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()
