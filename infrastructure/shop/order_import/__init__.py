"""The import of orders: files of invoice lines become the inputs of sagas, with every line accounted for."""

from __future__ import annotations

from pathlib import Path

from .columns import column_map
from .declines import as_placed, decline_rate, is_declined, shortest, with_payment_method
from .errors import OrderFileError
from .file_format import SEPARATORS, DateNotation, DecimalMark, FileFormat
from .invoice import RejectedInvoice
from .opening_stock import opening_stock
from .order_file import OrderFile, RejectedLine, read_file
from .rejects import check_rejects_file, write_rejects

SLICE = Path(__file__).parent / "data" / "online_retail_slice.csv"
"""The real orders that come with the package; `data/README.md` names their source."""

__all__ = [
    "SEPARATORS",
    "SLICE",
    "DateNotation",
    "DecimalMark",
    "FileFormat",
    "OrderFile",
    "OrderFileError",
    "RejectedInvoice",
    "RejectedLine",
    "as_placed",
    "check_rejects_file",
    "column_map",
    "decline_rate",
    "is_declined",
    "opening_stock",
    "read_file",
    "shortest",
    "with_payment_method",
    "write_rejects",
]
