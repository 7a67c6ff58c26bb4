"""Proof that the log was not edited: every position, version, digest and link of the chain, checked in one pass.

In bounded memory at any size, it checks that

- positions run from 1 to the head without a gap, and each stream's versions do too, in the same order;
- no row of the log's tables is outside of these positions;
- each event's bytes match its digest: an edited event is named by its position;
- each append's hash follows from the one before it: an edited, reordered, removed or added event, or an edited link,
  breaks the chain at the append that holds it;
- no append was recorded before the one in front of it;
- the head is the last link;
- the database refuses changes of the log, as its schema says.

A row that cannot be read is a problem, too, and the check goes on after it. A writer who can rewrite the whole chain
can still hide an edit or cut the end off. Keep a head elsewhere and `expect` it: position and hash are a commitment to
every event up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from ..errors import DamagedLedger
from ..runtime.progress import ReportProgress
from .backend import Backend
from .event_log import AppendRow, Head
from .event_row import StoredRow
from .hash_chain import GENESIS, chain, digest
from .instants import microseconds

PROBLEMS_MAX: Final = 100
"""How many problems are reported; the rest is not counted."""
_PAGE_ROWS: Final = 2_000

_BEGINNING: Final = AppendRow(UUID(int=0), 0, 0, datetime.min.replace(tzinfo=UTC), GENESIS)
"""What the first append follows."""

R = TypeVar("R", StoredRow, AppendRow)
_position: Final = attrgetter("position")
_last_position: Final = attrgetter("last_position")


class Problem(NamedTuple):
    """One thing that is not as it was written, and its position."""

    position: int
    problem: str


class Verification(NamedTuple):
    """The result of `verify`; `ok` if there are no problems."""

    ok: bool
    events: int
    head_position: int
    head_hash: bytes
    problems: list[Problem]


def verify(
    log: Backend, *, expect: tuple[int, bytes] | None = None, progress: ReportProgress | None = None
) -> Verification:
    """Check the log up to its present head; `expect` is a head (position, hash) noted earlier and kept elsewhere."""
    try:
        unprotected = [Problem(0, problem) for problem in log.schema_problems()]
        head = log.head()
    except DamagedLedger as error:  # without a head, nothing says where the log ends
        return Verification(False, 0, 0, GENESIS, [Problem(0, error.detail)])
    check = _Check(log, head)
    edits = sorted(set(check.run(expect, progress)))[:PROBLEMS_MAX]
    problems = [*edits, *unprotected][:PROBLEMS_MAX]
    return Verification(not problems, check.events, head.position, head.hash, problems)


class _Unreadable(NamedTuple):
    """A row that cannot be read, and the position at which it was expected."""

    position: int
    detail: str


class _Check:
    """One pass over a log, up to the head that it had at the beginning."""

    def __init__(self, log: Backend, head: Head) -> None:
        self._log = log
        self._head = head
        self._problems: list[Problem] = []
        self.events = 0

    def run(self, expect: tuple[int, bytes] | None, progress: ReportProgress | None) -> list[Problem]:
        """Return the problems found, in no particular order."""
        self._check_chain(expect, progress)
        for stray in self._log.stray_rows(limit=PROBLEMS_MAX):
            self._found(stray.position, f"this row of {stray.table} is outside of the log, which ends at the head")
        for misplaced in self._log.misplaced(limit=PROBLEMS_MAX):
            previous = misplaced.previous_version
            before = "is its first" if previous is None else f"follows version {previous}"
            self._found(misplaced.position, f"version {misplaced.version} of stream {misplaced.stream_id!r} {before}")
        return self._problems

    def _found(self, position: int, problem: str) -> None:
        self._problems.append(Problem(position, problem))

    def _check_chain(self, expect: tuple[int, bytes] | None, progress: ReportProgress | None) -> None:
        events = self._events(progress)
        pending = next(events, None)
        previous: AppendRow | None = _BEGINNING
        last = 0
        for link in self._links():
            if isinstance(link, _Unreadable):
                self._found(link.position, f"the append after position {last} cannot be read: {link.detail}")
                previous = None
                continue
            if previous is not None:
                self._check_coverage(link, last)
            digests: list[bytes] = []
            while pending is not None and pending.position <= link.last_position:
                if pending.position >= link.first_position or previous is not None:
                    if pending.recorded_at != link.recorded_at:
                        self._found(pending.position, "the event's recorded_at is not that of its append")
                    digests.append(pending.digest)
                pending = next(events, None)
            if previous is not None:
                self._check_link(link, previous, digests)
            if expect is not None and link.last_position == expect[0]:
                self._check_expected(link, expect[1])
                expect = None
            previous = link  # go on from the stored hash, so that one edit is one problem
            last = link.last_position
        while pending is not None:
            if previous is not None:
                self._found(pending.position, "no append of the chain covers this event")
            pending = next(events, None)
        if previous is not None:
            self._check_head(previous)
        if expect is not None:
            self._check_expected_but_absent(*expect)

    def _links(self) -> Iterator[AppendRow | _Unreadable]:
        """Yield every link up to the head. Consecutive ones that cannot be read are one."""
        readable = True
        for link in self._pages(lambda after, limit: self._log.appends(after, limit=limit), _last_position):
            if isinstance(link, AppendRow) and link.last_position > self._head.position:
                return  # appended since the pass began
            if readable or isinstance(link, AppendRow):
                yield link
            readable = isinstance(link, AppendRow)

    def _events(self, progress: ReportProgress | None) -> Iterator[StoredRow]:
        """Yield every event that can be read, and check each by itself."""
        upto = self._head.position
        after = 0
        for row in self._pages(lambda after, limit: self._log.read(after, limit=limit, upto=upto), _position):
            self.events += 1
            if isinstance(row, _Unreadable):
                self._found(row.position, f"the event cannot be read: {row.detail}")
                after = row.position
                continue
            self._check_event(row, after)
            after = row.position
            if progress is not None and (self.events % _PAGE_ROWS == 0 or after == upto):
                progress(after, upto)
            yield row
        if after < upto:
            self._missing(after + 1, upto)

    def _pages(self, read: Callable[[int, int], list[R]], position_of: Callable[[R], int]) -> Iterator[R | _Unreadable]:
        """Yield the rows of one table, a page at a time; a page that cannot be read is halved until one row is left.

        Such a row is taken to be at the next position, where it belongs.
        """
        after, limit = 0, _PAGE_ROWS
        while after < self._head.position:
            try:
                rows = read(after, limit)
            except DamagedLedger as error:
                if limit == 1:
                    after += 1
                    yield _Unreadable(after, error.detail)
                limit = max(limit // 2, 1)
                continue
            if not rows:
                return
            yield from rows
            after = position_of(rows[-1])
            limit = min(limit * 2, _PAGE_ROWS)

    def _check_event(self, row: StoredRow, before: int) -> None:
        if row.position != before + 1:
            self._missing(before + 1, row.position - 1)
        try:
            actual = digest(*row[1:9])
        except (
            TypeError,
            ValueError,
            OverflowError,
            AttributeError,
        ) as error:  # an edit put in a value of another type
            self._found(row.position, f"the event's columns are not what they were: {error}")
            return
        if actual != row.digest:
            self._found(row.position, f"the event's bytes do not match its digest ({row.topic} of {row.stream_id!r})")

    def _missing(self, first: int, last: int) -> None:
        span = "this event is" if first == last else f"the events up to position {last} are"
        self._found(first, f"{span} missing")

    def _check_coverage(self, link: AppendRow, last: int) -> None:
        if link.first_position != last + 1 or link.last_position < link.first_position:
            self._found(
                last + 1,
                f"the append after position {last} says that it covers {link.first_position} to {link.last_position}",
            )

    def _check_link(self, link: AppendRow, previous: AppendRow, digests: list[bytes]) -> None:
        if chain(previous.hash, link.last_position, microseconds(link.recorded_at), digests) != link.hash:
            self._found(
                link.first_position,
                f"the chain breaks at the append of positions {link.first_position} to {link.last_position}",
            )
        if link.recorded_at < previous.recorded_at:
            self._found(link.first_position, "the append was recorded before the one in front of it")

    def _check_head(self, last: AppendRow) -> None:
        head = self._head
        if (last.last_position, last.hash) != (head.position, head.hash):
            self._found(
                min(last.last_position, head.position) + 1,
                f"the head ({head.position}, {head.hash.hex()[:16]}…) is not the chain's last link "
                f"({last.last_position}, {last.hash.hex()[:16]}…)",
            )
        elif head.recorded_at != (None if last is _BEGINNING else last.recorded_at):
            self._found(head.position, f"the head's recorded_at ({head.recorded_at}) is not that of the last append")

    def _check_expected(self, link: AppendRow, expected_hash: bytes) -> None:
        if link.hash != expected_hash:
            self._found(
                link.last_position,
                f"the hash here is {link.hash.hex()}, not {expected_hash.hex()} as expected: the log was rewritten",
            )

    def _check_expected_but_absent(self, position: int, expected_hash: bytes) -> None:
        """Report an expected head that is the last position of no append."""
        if position == 0:
            if expected_hash != GENESIS:
                self._found(0, f"the hash of an empty log is {GENESIS.hex()}, not {expected_hash.hex()} as expected")
        elif position > self._head.position:
            self._found(
                self._head.position + 1,
                f"the log ends at {self._head.position}, before the expected position {position}: its end was cut off",
            )
        else:
            self._found(
                position,
                "no append ends at the expected position: either it is not one that `verify` printed, "
                "or the log was rewritten",
            )
