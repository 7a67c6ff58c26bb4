"""The columns of a file: which of its names stands for which of the eight that an order is made of."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from .errors import OrderFileError

COLUMNS: Final = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
"""The columns of the UCI data set "Online Retail"."""
OPTIONAL: Final = ("Description", "CustomerID", "Country")
"""The fields that a JSON object may omit, or have as null, and that a file may lack if `--columns` says so."""
_OTHER_NAMES = {"invoice": "InvoiceNo", "price": "UnitPrice"}
"""What other editions of the data set call a column, in lower case without spaces."""


class ColumnMap(Struct, frozen=True):
    """What a file calls each of `COLUMNS`."""

    names: Mapping[str, str]
    """The file's name by ours; an empty one stands for a column that the file lacks."""
    ignores_others: bool = False
    """Whether the file may have columns that no order needs."""
    month_first: bool = False
    """Whether dates with slashes have the month first, if the file does not show their order."""
    decimal_customers: bool = False
    """Whether the file writes customer 13085 as 13085.0."""

    def of_header(self, header: Sequence[str]) -> list[str | None] | None:
        """Return our name for each column of a header, None for one that no order needs; None if it does not fit."""
        wanted = {theirs: ours for ours, theirs in self.names.items() if theirs}
        columns = [wanted.get(theirs) for theirs in header]
        complete = sorted(ours for ours in columns if ours is not None) == sorted(wanted.values())
        return columns if complete and (self.ignores_others or None not in columns) else None

    def wrong_header(self, header: Sequence[str]) -> str:
        """Return why a header does not fit, and what to do."""
        wanted = [name for name in self.names.values() if name]
        wrong = {
            "lacks": [name for name in wanted if name not in header],
            "does not know": [repr(name) for name in header if name not in wanted and not self.ignores_others],
            "repeats": sorted({name for name in header if name in wanted and header.count(name) > 1}),
        }
        found = "; ".join(f"{verb} {', '.join(names)}"[:200] for verb, names in wrong.items() if names)
        return f"the header {found}{self._remedy(header)}: it must name exactly {','.join(wanted)}"

    def _remedy(self, header: Sequence[str]) -> str:
        fitting = next((name for name, preset in PRESETS.items() if preset.of_header(header) is not None), None)
        known = {column.lower(): column for column in COLUMNS} | _OTHER_NAMES
        renamed = [
            f"{column!r} to {meant}"
            for column in header
            if (meant := known.get(re.sub(r"[\s_.-]", "", column.lower()))) is not None and meant not in header
        ]
        with_preset = f"; run it with --columns {fitting}" if fitting else "; map its columns with --columns"
        return (f"; rename {', '.join(renamed)}" if renamed else "") + with_preset


ONLINE_RETAIL: Final = ColumnMap({name: name for name in COLUMNS}, month_first=True)
"""UCI "Online Retail", whose dates have the month first."""
ONLINE_RETAIL_II: Final = ColumnMap(
    {**ONLINE_RETAIL.names, "InvoiceNo": "Invoice", "UnitPrice": "Price", "CustomerID": "Customer ID"},
    decimal_customers=True,
)
"""UCI "Online Retail II", whose CSV editions write every customer with a decimal."""
PRESETS: Final = {"online-retail": ONLINE_RETAIL, "online-retail-ii": ONLINE_RETAIL_II}


def column_map(text: str | None) -> ColumnMap:
    """Read an option such as `online-retail-ii` or `InvoiceNo=Invoice,UnitPrice=Price,Country=`.

    A preset may stand first. A column that is not named keeps its name, and further columns of the file are ignored.
    None stands for UCI "Online Retail" and no other column. Raises `OrderFileError` for a text that is no such option.
    """
    if text is None:
        return ONLINE_RETAIL
    items = next(csv.reader([text]), [])
    preset = PRESETS.get(items[0].strip().lower()) if items else None
    pairs = [item.partition("=") for item in (items if preset is None else items[1:])]
    names = {**(preset or ONLINE_RETAIL).names}
    given: set[str] = set()
    for ours, equals, theirs in ((ours.strip(), equals, theirs.strip()) for ours, equals, theirs in pairs):
        if not equals or ours not in COLUMNS:
            raise OrderFileError(
                f"--columns: {f'{ours}{equals}{theirs}'[:60]!r} is no column: write InvoiceNo=Invoice, with one of "
                f"{', '.join(COLUMNS)} before the sign; or begin with {' or '.join(PRESETS)}"
            )
        if ours in given:
            raise OrderFileError(f"--columns names {ours} twice: name it once")
        if not theirs and ours not in OPTIONAL:
            raise OrderFileError(f"--columns: an order needs {ours}: only {', '.join(OPTIONAL)} may be absent")
        given.add(ours)
        names[ours] = theirs
    if not pairs and preset is not None:
        return replace(preset, ignores_others=True)
    shared = sorted({name for name in names.values() if name and list(names.values()).count(name) > 1})
    if not pairs or shared:
        what = f"{shared[0]!r} stands for two columns" if shared else "it is empty"
        raise OrderFileError(f"--columns: {what}: name each column of the file once, as in InvoiceNo=Invoice")
    customers = preset is not None and preset.decimal_customers
    return ColumnMap(names, ignores_others=True, decimal_customers=customers)
