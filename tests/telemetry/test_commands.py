"""Telemetry of the command line: a worker whose metrics are scraped and whose spans are sent."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..cli.shell import Shell, until
from .receiver import Receiver
from .test_metrics import samples, value

APP_FILE = Path(__file__).parents[1] / "cli/parcels.py"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell with an app, and a saga to be worked."""
    opened = Shell(tmp_path, "sqlite:///parcels.db")
    shutil.copy(APP_FILE, tmp_path)
    opened.environment["SAGALEDGER_APP"] = "parcels.py:APP"
    assert opened("start", "parcel", "--input", '"book"', "--id", "book").returncode == 0
    yield opened
    opened.close()


def test_a_worker_serves_metrics_and_sends_spans(shell: Shell, receiver: Receiver) -> None:
    """Its log, as JSON, names the trace: what it says itself, and what the steps say."""
    shell.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
    worker = shell.background("worker", "--metrics-port", "0", "--log-format", "json")
    assert worker.stderr is not None
    lines: list[dict[str, str]] = []
    for line in worker.stderr:
        lines.append(json.loads(line))
        if "ended: completed" in lines[-1]["message"]:
            break
    [where] = [found[1] for each in lines if (found := re.match(r"metrics are on (http:.*)", each["message"]))]
    with urllib.request.urlopen(where) as answer:  # noqa: S310 -- as the worker said
        found = samples(answer.read())
    worker.terminate()
    assert worker.wait() == 0

    assert value(found, "sagas_ended_total", definition="parcel", status="completed") == 1
    assert value(found, "worker_slots") == 1000
    assert value(found, "log_head_position") > 0
    start = receiver.one("start parcel")
    assert [span.parent_id for span in receiver.named("parcel/weigh")] == [start.span_id] * 2
    told = {line["logger"]: line.get("trace_id") for line in lines if "book" in line["message"]}
    assert set(told.values()) == {start.trace_id}
    assert "parcels" in told


@pytest.mark.parametrize(
    ("variables", "options", "says"),
    [
        ({"OTEL_TRACES_SAMPLER": "often"}, (), r"OTEL_TRACES_SAMPLER='often': use one of always_on, .*"),
        ({}, ("--metrics-port", "70000"), r"the metrics cannot be served on 127.0.0.1 port 70000: .*choose another.*"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    shell: Shell, variables: dict[str, str], options: tuple[str, ...], says: str
) -> None:
    """Before the worker begins."""
    shell.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **variables}

    done = shell("worker", "--until-idle", *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(f"sagaledger: {says}", done.stderr)
    assert shell.json("list")["sagas"][0]["status"] == "running"


def test_a_receiver_that_is_away_stops_no_worker(shell: Shell) -> None:
    """It ends within seconds, and its saga with it."""
    shell.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    shell.environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"

    assert shell("worker", "--until-idle").returncode == 0

    until(lambda: shell.json("list")["sagas"][0]["status"] == "completed")
