"""Findings: figures with their units in their names, and ratios of two figures of one run."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

PACKAGES = ("sagaledger", "eventsourcing", "dbos", "msgspec", "psycopg", "sqlalchemy")
RESULTS = Path(__file__).with_name("results.json")

AIMS = {
    "append_events_per_second_largest_vs_smallest_postgres": 0.85,
    "append_events_per_second_largest_vs_smallest_sqlite": 0.85,
    "append_vs_insert_postgres": 0.6,
    "claimed_sagas_per_second_largest_vs_smallest_postgres": 0.85,
    "claimed_sagas_per_second_largest_vs_smallest_sqlite": 0.85,
    "hot_vs_disjoint_articles_postgres": 0.5,
    "hot_vs_disjoint_articles_sqlite": 0.5,
    "latency_vs_dbos": 4.0,
    "list_process_vs_imports_postgres": 0.6,
    "list_process_vs_imports_sqlite": 0.6,
    "long_vs_short_lists_postgres": 0.75,
    "long_vs_short_lists_sqlite": 0.75,
    "projections_vs_runner": 20.0,
    "rebuild_vs_repository": 15.0,
    "sagas_vs_append_postgres": 0.5,
    "sagas_vs_dbos_postgres": 40.0,
    "sagas_vs_dbos_sqlite": 40.0,
    "telemetry_1_in_100_traced_vs_off_postgres": 0.95,
    "telemetry_1_in_100_traced_vs_off_sqlite": 0.95,
    "telemetry_metrics_vs_off_postgres": 0.95,
    "telemetry_metrics_vs_off_sqlite": 0.95,
}
"""The least value that each of these ratios is to reach on two cores, with the database on the same machine."""


class Findings(msgspec.Struct):
    """Figures, whose names end with a unit or say what they count, and ratios, of which larger ones are better."""

    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}


def document(findings: Iterable[Findings], postgres_version: str | None) -> dict[str, Any]:
    """Return the findings of one run as JSON, with the machine, the versions and the date of the run."""
    found = list(findings)
    return {
        "ratios": {name: _short(value) for each in found for name, value in each.ratios.items()},
        "figures": {name: _short(value) for each in found for name, value in each.figures.items()},
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {
            "python": platform.python_version(),
            "postgresql": postgres_version,
            "sqlite": sqlite3.sqlite_version,
            **{package: _version(package) for package in PACKAGES},
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def save(found: dict[str, Any], path: Path = RESULTS) -> None:
    """Write a run to `results.json`, in a form that people and `diff` can read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def _short(value: float) -> float:
    """Round to four digits: no run is more precise."""
    return float(f"{value:.4g}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()
