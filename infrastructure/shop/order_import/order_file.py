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
from .notation import DateOrder, Notation, date_order
from .records import Record, csv_records, jsonl_records
from .sale_line import SaleLine, sale_line

INVOICE_BYTES_MAX = 240 * 1024
"""The most bytes that an invoice's lines may take in a saga's input; an event of the log may have 256 KiB in all."""
INVOICES_BYTES_MAX = 1024**3
"""The most memory that the invoices of a file may take, estimated."""
INVOICE_OVERHEAD_BYTES, LINE_OVERHEAD_BYTES = 1_000, 300
REJECTS_MAX, REJECTS_CHARS_MAX = 100_000, 16 * 1024**2
"""How many rejected lines are listed, and how many characters in all; more are only counted."""
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
    rejects_unlisted: int = 0
    """How many further lines were rejected: a report lists so many only."""

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
        return len(self.rejects) + self.rejects_unlisted

    @property
    def demand(self) -> dict[str, int]:
        """How many pieces of each article all orders need together; 0 for an article that was only returned."""
        wanted = Counter({line.sku: 0 for invoice in self.invoices for line in invoice.lines})
        for order in self.orders:
            for line in order.lines:
                wanted[line.sku] += line.quantity
        return dict(wanted)


def read_file(path: Path, separator: str = ",") -> OrderFile:
    """Read a file of invoice lines: `.csv` or `.jsonl`, each also `.gz`.

    `separator` is what separates the fields of a CSV file; with a semicolon, prices may have a decimal comma.
    A line that cannot be used is rejected with its reason; an invoice whose lines are all rejected is left out.
    Raises `OrderFileError` when the file as a whole cannot be read.
    """
    source = LineSource(path)
    notation = Notation(lambda: _date_order(path, separator), decimal_comma=separator == ";")
    invoices: dict[str, _Invoice] = {}
    rejects = _Rejects()
    lines_in = size_bytes = 0
    for record in _records(source, path, separator):
        lines_in += 1
        try:
            line = _sale_line(record, notation)
            size_bytes += invoices.setdefault(line.invoice, _Invoice(line)).add(line)
        except LineRejected as rejected:
            rejects.add(record, str(rejected))
        if size_bytes > INVOICES_BYTES_MAX:
            raise OrderFileError(
                f"{path}, line {record.line}: the invoices up to here take {INVOICES_BYTES_MAX:,} bytes of memory: "
                "split it into several files"
            )
    in_date_order = sorted(invoices.values(), key=lambda invoice: invoice.first.placed_at)
    return OrderFile(
        file=path.name,
        sha256=source.sha256,
        lines_in=lines_in,
        invoices=tuple(invoice.build() for invoice in in_date_order),
        rejects=tuple(rejects.listed),
        rejects_unlisted=rejects.unlisted,
    )


def _date_order(path: Path, separator: str) -> DateOrder:
    """Read the whole file for the order of its dates."""
    if not path.is_file():
        raise OrderFileError(f"{path} has dates with slashes, so it is read twice, and it is no file: save it as one")
    records = _records(LineSource(path), path, separator)
    return date_order(record.fields["InvoiceDate"] for record in records if record.fields is not None)


def _records(source: LineSource, path: Path, separator: str) -> Iterator[Record]:
    """Return the file's records, in the format that its name has."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return csv_records(iter(source), path, separator)
    if name.endswith(".jsonl"):
        return jsonl_records(iter(source))
    raise OrderFileError(f"{path} is of no known format: name it .csv or .jsonl (or .csv.gz, .jsonl.gz)")


class _Rejects:
    """The rejected lines of a file while it is read: the first of them are listed, the others counted."""

    def __init__(self) -> None:
        self.listed: list[RejectedLine] = []
        self.unlisted = 0
        self._chars_left = REJECTS_CHARS_MAX

    def add(self, record: Record, reason: str) -> None:
        reject = RejectedLine(record.line, reason, record.content[:REJECT_CHARS_MAX])
        self._chars_left -= len(reject.content) + len(reason)
        if self.unlisted or self._chars_left < 0 or len(self.listed) >= REJECTS_MAX:
            self.unlisted += 1
        else:
            self.listed.append(reject)


def _sale_line(record: Record, notation: Notation) -> SaleLine:
    if record.fields is None:
        raise LineRejected(record.problem or "the line has no fields")
    return sale_line(record.fields, notation)


class _Invoice:
    """The lines of one invoice while the file is read; its time, customer and country are those of its first line."""

    def __init__(self, first: SaleLine) -> None:
        self.first = first
        self._lines: list[OrderLine | ReturnLine] = []
        self._bytes = 0

    def add(self, line: SaleLine) -> int:
        """Add a line, and return how many bytes of memory it takes.

        Raises `LineRejected` if it contradicts the first line of the invoice, or the invoice would become larger than a
        saga's input may be.
        """
        self._check_agreement(line)
        type_ = ReturnLine if line.is_return else OrderLine
        added = type_(line.sku, line.quantity, line.amount_minor, line.description)
        size = len(_encoded(added)) + 1
        if self._bytes + size > INVOICE_BYTES_MAX:
            raise LineRejected(
                f"invoice {line.invoice} is full: its lines fill the {INVOICE_BYTES_MAX:,} bytes it may have"
            )
        self._lines.append(added)
        self._bytes += size
        return size + LINE_OVERHEAD_BYTES + (INVOICE_OVERHEAD_BYTES if len(self._lines) == 1 else 0)

    def _check_agreement(self, line: SaleLine) -> None:
        """Raise `LineRejected` for a line of another order that has the same number. Times of one day may differ.

        A line may omit what the first line says.
        """
        first = self.first
        for what, one, other in (
            ("customer", first.customer_id, line.customer_id),
            ("country", first.country, line.country),
            ("day", first.placed_at.date(), line.placed_at.date()),
        ):
            if other and one != other:
                raise LineRejected(
                    f"invoice {line.invoice} has another {what} on an earlier line: {one or 'none'}, and here {other}"
                )

    def build(self) -> Order | Return:
        """Return the order or the return that the lines make."""
        first = self.first
        if first.is_return:
            returned = tuple(line for line in self._lines if isinstance(line, ReturnLine))
            return Return(first.invoice, first.placed_at, returned, first.customer_id, first.country)
        ordered = tuple(line for line in self._lines if isinstance(line, OrderLine))
        return Order(first.invoice, first.placed_at, ordered, first.customer_id, first.country)
