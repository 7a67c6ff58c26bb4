"""The benchmarks still work: each of them, at a size that says nothing about speed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from sagaledger.infrastructure.shop.order_import import SLICE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def setting(postgres_server: str) -> Iterator[Any]:
    """A tiny setting, on both backends, without the peer that is slow to start."""
    sys.path.insert(0, str(ROOT))  # the benchmarks stand beside the package, not in it
    from benchmarks.databases import databases  # noqa: PLC0415
    from benchmarks.setting import TINY, Setting  # noqa: PLC0415

    with databases(server=postgres_server) as made:
        yield Setting(
            databases=made,
            backends=("sqlite", "postgres"),
            sizes=TINY,
            orders_file=SLICE,
            with_dbos=False,
            say=lambda _: None,
        )
    sys.path.remove(str(ROOT))


@pytest.mark.parametrize(
    "name",
    [
        "throughput",
        "latency",
        "projections",
        "rebuilding",
        "growth",
        "footprint",
        "orders",
        "hot_articles",
        "long_lists",
        "verifying",
        "questions",
        "telemetry",
    ],
)
def test_a_benchmark_finds_figures(setting: Any, name: str) -> None:
    """Each benchmark runs to its end, and every figure and ratio that it finds is above zero."""
    from benchmarks.__main__ import run  # noqa: PLC0415

    # given a tiny setting
    # when
    [found] = run(setting, [name])

    # then
    values = [*found.figures.values(), *found.ratios.values()]
    assert values
    assert all(value > 0 for value in values)


@pytest.mark.usefixtures("setting")
def test_findings_are_kept_and_drawn(tmp_path: Path) -> None:
    """A run is kept as JSON with machine, versions and date, and drawn as a picture."""
    from benchmarks.findings import Findings, document, save  # noqa: PLC0415
    from benchmarks.plot import plot  # noqa: PLC0415

    # given
    found = document([Findings({"waits_ms": 12.3456}, {"sagas_vs_dbos_postgres": 50.0})], "18.4")

    # when
    save(found, tmp_path / "results.json")
    plot(found, tmp_path / "ratios.svg")

    # then
    kept = msgspec.json.decode((tmp_path / "results.json").read_bytes())
    assert kept["figures"] == {"waits_ms": 12.35}
    assert set(kept) == {"ratios", "figures", "machine", "versions", "date"}
    assert kept["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    drawn = ElementTree.parse(tmp_path / "ratios.svg").getroot()  # noqa: S314  # drawn by ourselves
    assert "sagas vs dbos postgres" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
