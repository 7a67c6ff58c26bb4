"""The figures of the page on sizing are those of the saved benchmarks."""

from __future__ import annotations

import json
import re

from ..documents.page import ROOT

PAGE = (ROOT / "docs" / "how-to" / "sizing.md").read_text()
FIGURES = json.loads((ROOT / "benchmarks" / "results.json").read_text())["figures"]
ROWS = {
    "views kept up": ("sagas_per_second_{}_512_at_once_with_views", 1),
    "without views": ("sagas_per_second_{}_512_at_once", 1),
    "a lone saga": ("latency_{}_1_at_once_p50_ms", 1),
    "one of 64 sagas": ("latency_{}_64_at_once_p99_ms", 1),
    "real orders a second": ("orders_per_second_{}", 1),
    "how far views are behind": ("view_lag_at_full_speed_{}_p99_ms", 1_000),
    "disk for each saga": ("bytes_per_saga_at_10000000_events_{}", 1_000),
    "memory of a worker": ("worker_megabytes_at_10000_running_100000_waiting_sagas_{}", 1),
    "`verify`": ("verified_events_per_second_{}", 1),
}


def test_each_figure_is_the_measured_one() -> None:
    """As far as it is rounded."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d.,]+)[^|]* \| ([\d.,]+)[^|]* \|$", PAGE, re.MULTILINE)
    wrong = []
    for row, *cells in rows:
        name, unit = next(found for start, found in ROWS.items() if start in row)
        for backend, cell in zip(("sqlite", "postgres"), cells, strict=True):
            measured, shown = FIGURES[name.format(backend)] / unit, float(cell.replace(",", ""))
            if abs(measured - shown) > 0.1 * measured:
                wrong.append((row, backend, measured, shown))

    assert len(rows) == len(ROWS)
    assert wrong == []
