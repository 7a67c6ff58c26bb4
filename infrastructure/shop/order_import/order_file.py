"""A file of invoice lines as orders and returns, with every line accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from ....domain.shop import Order, OrderLine, Return, ReturnLine
from .errors import LineRejected, OrderFileError
from .lines import LineSource
from .records import Record, csv_records, jsonl_records
from .sale_line import SaleLine, sale_line

INVOICE_BYTES_MAX = 240 * 1024
"""The most bytes that an invoice's lines may take in a saga's input; an event of the log may have 256 KiB in all."""
REJECT_CHARS_MAX = 1_000
"""How many characters of a rejected line the report shows."""
_encoded = msgspec.json.Encoder().encode


class RejectedLine(Struct, frozen=True):
    """A line of the file that is part of no order and no return."""

    line: int
    """Counted from 1, the header included."""
    reason: str
    content: str


class OrderFile(Struct, frozen=True):
    """The content of a file: lines in = lines in orders + lines in returns + lines rejected."""

    file: str
    sha256: str
    """Of the uncompressed content, in hexadecimal."""
    lines_in: int
    """Without the header."""
    invoices: tuple[Order | Return, ...]
    """By their times, which are those of their first lines; invoices of one time in the order of the file."""
    rejects: tuple[RejectedLine, ...]

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders among the invoices."""
        return tuple(invoice for invoice in self.invoices if isinstance(invoice, Order))

    @property
    def returns(self) -> tuple[Return, ...]:
        """The returns among the invoices."""
        return tuple(invoice for invoice in self.invoices if isinstance(invoice, Return))

    @property
    def lines_in_orders(self) -> int:
        """How many lines became part of an order."""
        return sum(len(order.lines) for order in self.orders)

    @property
    def lines_in_returns(self) -> int:
        """How many lines became part of a return."""
        return sum(len(returned.lines) for returned in self.returns)

    @property
    def lines_rejected(self) -> int:
        """How many lines became part of neither."""
        return len(self.rejects)

    @property
    def demand(self) -> dict[str, int]:
        """How many pieces of each article all orders need together; 0 for an article that was only returned."""
        wanted = Counter({line.sku: 0 for invoice in self.invoices for line in invoice.lines})
        for order in self.orders:
            for line in order.lines:
                wanted[line.sku] += line.quantity
        return dict(wanted)


def read_file(path: Path) -> OrderFile:
    """Read a file of invoice lines: `.csv` or `.jsonl`, each also `.gz`.

    A line that cannot be used is rejected with its reason; an invoice whose lines are all rejected is left out.
    Raises `OrderFileError` when the file as a whole cannot be read.
    """
    source = LineSource(path)
    records = _records(source, path)
    invoices: dict[str, _Invoice] = {}
    rejects: list[RejectedLine] = []
    lines_in = 0
    for record in records:
        lines_in += 1
        try:
            line = _sale_line(record)
            invoices.setdefault(line.invoice, _Invoice(line)).add(line)
        except LineRejected as rejected:
            rejects.append(RejectedLine(record.line, str(rejected), record.content[:REJECT_CHARS_MAX]))
    in_date_order = sorted(invoices.values(), key=lambda invoice: invoice.first.placed_at)
    return OrderFile(
        file=path.name,
        sha256=source.sha256,
        lines_in=lines_in,
        invoices=tuple(invoice.build() for invoice in in_date_order),
        rejects=tuple(rejects),
    )


def _records(source: LineSource, path: Path) -> Iterator[Record]:
    """Return the file's records, in the format that its name has."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return csv_records(iter(source), path)
    if name.endswith(".jsonl"):
        return jsonl_records(iter(source))
    raise OrderFileError(f"{path} is of no known format: name it .csv or .jsonl (or .csv.gz, .jsonl.gz)")


def _sale_line(record: Record) -> SaleLine:
    if record.fields is None:
        raise LineRejected(record.problem or "the line has no fields")
    return sale_line(record.fields)


class _Invoice:
    """The lines of one invoice while the file is read; its time, customer and country are those of its first line."""

    def __init__(self, first: SaleLine) -> None:
        self.first = first
        self._lines: list[OrderLine | ReturnLine] = []
        self._bytes = 0

    def add(self, line: SaleLine) -> None:
        """Add a line. Raises `LineRejected` if the invoice would become larger than a saga's input may be."""
        type_ = ReturnLine if line.is_return else OrderLine
        added = type_(line.sku, line.quantity, line.amount_minor, line.description)
        size = len(_encoded(added)) + 1
        if self._bytes + size > INVOICE_BYTES_MAX:
            raise LineRejected(
                f"invoice {line.invoice} is full: its lines fill the {INVOICE_BYTES_MAX:,} bytes it may have"
            )
        self._lines.append(added)
        self._bytes += size

    def build(self) -> Order | Return:
        """Return the order or the return that the lines make."""
        first = self.first
        if first.is_return:
            returned = tuple(line for line in self._lines if isinstance(line, ReturnLine))
            return Return(first.invoice, first.placed_at, returned, first.customer_id, first.country)
        ordered = tuple(line for line in self._lines if isinstance(line, OrderLine))
        return Order(first.invoice, first.placed_at, ordered, first.customer_id, first.country)
