"""The findings as text: a table of the ratios with the values that they are to reach, and one of the figures."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from .findings import AIMS


def show(found: dict[str, Any], console: Console) -> None:
    """Print a run."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    machine = found["machine"]
    console.print(f"\n{machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}\n")
    if found["ratios"]:
        console.print(_ratios(found["ratios"]))
    console.print(_figures(found["figures"]))


def _ratios(ratios: dict[str, float]) -> Table:
    table = Table("ratio (larger is better)", title="in one run", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("aim", justify="right")
    for name, value in ratios.items():
        aim = AIMS.get(name)
        style = "" if aim is None else "green" if value >= aim else "yellow"
        table.add_row(_words(name), f"{value:,.3g}", "" if aim is None else f"{aim:g}", style=style)
    return table


def _figures(figures: dict[str, float]) -> Table:
    table = Table("figure", title="on this machine", title_justify="left")
    table.add_column("", justify="right")
    for name, value in figures.items():
        table.add_row(_words(name), f"{value:,.0f}" if value >= 100 else f"{value:,.3g}")
    return table


def _words(name: str) -> str:
    return name.replace("_", " ")
