"""A file of invoice lines as orders and returns, with every line accounted for."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from ....domain.shop import Order, Return
from .dates import DateOrder, FoundOrder, find_order
from .errors import LineRejected, OrderFileError
from .file_format import FileFormat
from .header import option_of, read_header
from .invoice import Invoice, RejectedInvoice
from .lines import LineSource
from .notation import Notation
from .records import Record, csv_records, jsonl_records
from .sale_line import SaleLine, sale_line

INVOICES_BYTES_MAX = 1024**3
"""The most memory that the invoices of a file may take, estimated."""
REJECTS_MAX, REJECTS_CHARS_MAX = 100_000, 16 * 1024**2
"""How many rejected lines are listed, and how many characters in all; more are only counted."""
REJECT_CHARS_MAX = 1_000
"""How many characters of a rejected line the report shows."""


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
    contradicted: tuple[RejectedInvoice, ...] = ()
    """The invoices that are left out because their lines contradict each other; their lines are rejected."""
    invoice_lines: Mapping[str, array[int]] = {}
    """The numbers of the lines of each invoice."""
    notes: tuple[str, ...] = ()
    """What was assumed about the file that it does not show."""

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


def read_file(path: Path, format_: FileFormat = FileFormat()) -> OrderFile:  # noqa: B008  # it is immutable
    """Read a file of invoice lines: `.csv` or `.jsonl`, each also `.gz`.

    A line that cannot be used is rejected with its reason; an invoice whose lines are all rejected is left out, and
    so is one whose lines contradict each other. Raises `OrderFileError` when the file as a whole cannot be read.
    """
    return _Reader(path, format_).read()


class _Reader:
    """Reads one file."""

    def __init__(self, path: Path, format_: FileFormat) -> None:
        self._path = path
        self._format = format_
        self._source = LineSource(path)
        self._invoices: dict[str, Invoice] = {}
        self._rejects = _Rejects()
        self._notes: list[str] = []

    def read(self) -> OrderFile:
        """Return the content of the file."""
        records, separator = self._records(self._source)
        format_ = self._format
        notation = Notation(
            self._date_order,
            dates=None if format_.dates is None else DateOrder(format_.dates),
            decimal=format_.decimal or ("point" if separator == "," else None),
            grouped=format_.decimal is not None,
        )
        lines_in = self._take_in(records, notation)
        if not lines_in and separator not in (",", format_.separator):
            raise OrderFileError(
                f"{self._path}: the header is separated by {separator!r}, and no line below it confirms that: add "
                f"lines, or run it with {option_of(separator)}"
            )
        in_date_order = sorted(self._invoices.values(), key=lambda invoice: invoice.first.placed_at)
        contradicted = tuple(rejected for each in in_date_order if (rejected := each.rejected()) is not None)
        self._reject_whole(contradicted)
        return OrderFile(
            file=self._path.name,
            sha256=self._source.sha256,
            lines_in=lines_in,
            invoices=tuple(invoice.build() for invoice in in_date_order if invoice.contradiction is None),
            rejects=tuple(sorted(self._rejects.listed, key=lambda rejected: rejected.line)),
            rejects_unlisted=self._rejects.unlisted,
            contradicted=contradicted,
            invoice_lines={invoice.first.invoice: invoice.lines for invoice in in_date_order},
            notes=tuple(self._notes),
        )

    def _take_in(self, records: Iterator[Record], notation: Notation) -> int:
        """Read every record into its invoice or the rejects, and return how many there are."""
        lines_in = size_bytes = 0
        for record in records:
            lines_in += 1
            try:
                line = _sale_line(record, notation)
                invoice = self._invoices.get(line.invoice) or Invoice(line)
                size_bytes += invoice.add(record.line, line)
                self._invoices[line.invoice] = invoice
            except LineRejected as rejected:
                self._rejects.add(record, str(rejected))
            if size_bytes > INVOICES_BYTES_MAX:
                raise OrderFileError(
                    f"{self._path}, line {record.line}: the invoices up to here take {INVOICES_BYTES_MAX:,} bytes of "
                    "memory: split it into several files"
                )
        return lines_in

    def _reject_whole(self, invoices: Collection[RejectedInvoice]) -> None:
        """Reject every line of these invoices. Their contents were not kept: the file is read for them once more."""
        if not invoices:
            return
        reasons = {number: each.reason for each in invoices for number in each.lines}
        if not self._path.is_file():
            for number in sorted(reasons):
                self._rejects.add(Record(number, "", None), reasons[number])
            return
        for record in self._records(LineSource(self._path))[0]:
            if (reason := reasons.get(record.line)) is not None:
                self._rejects.add(record, reason)

    def _date_order(self) -> DateOrder:
        """Read the whole file for the order of its dates. Raises `OrderFileError` if it is not to be known."""
        path = self._path
        if not path.is_file():
            raise OrderFileError(
                f"{path} has dates that need to be compared, so it is read twice, and it is no file: save it as one, "
                "or say with --dates dmy, mdy or ymd what comes first"
            )
        records, _ = self._records(LineSource(path))
        found = find_order(
            (record.line, record.fields["InvoiceDate"]) for record in records if record.fields is not None
        )
        return self._assumed(found) if found.order is DateOrder.UNSHOWN else found.order

    def _assumed(self, found: FoundOrder) -> DateOrder:
        """Return the order of dates that do not show it, if the data set has one, and note that it was assumed."""
        place = f"line {found.line}: {found.text!r}"
        why = f"no date of {self._path} shows whether the day or the month comes first ({place})"
        if not (self._format.columns.month_first and "/" in found.text):
            raise OrderFileError(f"{why}: run it with --dates dmy or --dates mdy")
        self._notes.append(f"{why}: read with the month first, as UCI Online Retail has it; --dates dmy reads the day")
        return DateOrder.MONTH_FIRST

    def _records(self, source: LineSource) -> tuple[Iterator[Record], str]:
        """Return the file's records, in the format that its name has, and what separates their fields."""
        path = self._path
        name = path.name.lower().removesuffix(".gz")
        if name.endswith(".csv"):
            lines = iter(source)
            header = read_header(lines, path, self._format)
            return csv_records(lines, header, self._format.columns), header.separator
        if name.endswith(".jsonl"):
            return jsonl_records(source, self._format.columns), ","
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
