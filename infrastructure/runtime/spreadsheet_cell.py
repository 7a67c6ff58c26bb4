"""Cells of CSV files that a spreadsheet shows as text, and never runs."""

from __future__ import annotations

from typing import Final

FORMULA_MARKS: Final = (*"=+-@\t\r\n'", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A text that begins so is written with an apostrophe before it, because spreadsheets run formulas; some take the wide
signs of Chinese and Japanese for the same. The apostrophe is among them, so that removing the first one gives the text
back."""


def as_plain_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs."""
    return f"'{text}" if text.startswith(FORMULA_MARKS) else text
