"""The ratios as an SVG picture: one bar each on a logarithmic scale, with a mark at the value that it is to reach."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from .findings import AIMS

LABEL_WIDTH = 380
BAR_WIDTH = 480
VALUE_WIDTH = 70
ROW_HEIGHT = 26
TOP = 44


def plot(found: dict[str, Any], path: Path) -> None:
    """Draw the ratios of a run into a file."""
    ratios: dict[str, float] = {name: value for name, value in found["ratios"].items() if value > 0}
    shown = [*ratios.values(), *(AIMS[name] for name in ratios if name in AIMS), 1.0]
    low, high = floor(log10(min(shown))), max(ceil(log10(max(shown))), 1)

    def across(value: float) -> float:
        return LABEL_WIDTH + BAR_WIDTH * (log10(value) - low) / (high - low)

    width, height = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH, TOP + ROW_HEIGHT * len(ratios) + 10
    font = 'font-family="sans-serif" font-size="13"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="18" fill="#555">{escape(_title(found))}</text>',
    ]
    for exponent in range(low, high + 1):
        at = across(10.0**exponent)
        drawn.append(f'<path d="M{at:.1f} {TOP - 6}V{height - 8}" stroke="#ddd"/>')
        drawn.append(f'<text x="{at:.1f}" y="{TOP - 10}" fill="#999" text-anchor="middle">{10.0**exponent:g}</text>')
    for row, (name, value) in enumerate(ratios.items()):
        drawn += _bar(name, value, TOP + ROW_HEIGHT * row, across)
    path.write_text("\n".join([*drawn, "</svg>", ""]), encoding="utf-8")


def _bar(name: str, value: float, top: int, across: Callable[[float], float]) -> list[str]:
    begin, end = sorted((across(1.0), across(value)))
    aim = AIMS.get(name)
    fill = "#4c78a8" if aim is None else "#3a8f5c" if value >= aim else "#d9a441"
    size = f'width="{max(end - begin, 1):.1f}" height="{ROW_HEIGHT - 8}"'
    lines = [
        f'<text x="{LABEL_WIDTH - 10}" y="{top + 17}" text-anchor="end">{escape(name.replace("_", " "))}</text>',
        f'<rect x="{begin:.1f}" y="{top + 4}" {size} fill="{fill}"/>',
        f'<text x="{end + 6:.1f}" y="{top + 17}">{value:.3g}</text>',
    ]
    if aim is not None:
        lines.append(f'<path d="M{across(aim):.1f} {top + 1}v{ROW_HEIGHT - 2}" stroke="#222" stroke-width="2"/>')
    return lines


def _title(found: dict[str, Any]) -> str:
    machine = found["machine"]
    return f"ratios of one run, {found['date']}, {machine['processor']}, {machine['cores']} cores; black: the aim"
