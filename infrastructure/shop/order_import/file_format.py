"""How a file of orders is written, as far as its reader is told; the rest is found in the file."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from .columns import ONLINE_RETAIL, ColumnMap

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What may separate the fields of a CSV file, by the name of the option."""
DateNotation: TypeAlias = Literal["dmy", "mdy", "ymd"]
"""In which order the day, the month and the year of a date stand."""
DecimalMark: TypeAlias = Literal["point", "comma"]
"""What stands before the pence of a price."""


class FileFormat(NamedTuple):
    """What the user says about a file. None: it is found in the file itself."""

    separator: str | None = None
    columns: ColumnMap = ONLINE_RETAIL
    dates: DateNotation | None = None
    decimal: DecimalMark | None = None
