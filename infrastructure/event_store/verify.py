"""Proof that the log was not edited: every position, version, digest and link of the chain, checked in one pass.

In bounded memory at any size, it checks that

- positions run from 1 to the head without a gap, and each stream's versions do too, in the same order;
- each event's bytes match its digest: an edited event is named by its position;
- each append's hash follows from the one before it: an edited, reordered, removed or added event, or an edited link,
  breaks the chain at the append that holds it;
- the head is the last link.

A writer who can rewrite the whole chain can still hide an edit or cut the end off. Keep a head elsewhere and `expect`
it: position and hash are a commitment to every event up to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..runtime.progress import ReportProgress
from .event_log import AppendRow, EventLog, Head
from .event_row import StoredRow
from .hash_chain import GENESIS, chain, digest
from .instants import microseconds

PROBLEMS_MAX: Final = 100
"""How many problems are reported; the rest is not counted."""
_PAGE_ROWS: Final = 2_000


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
    log: EventLog, *, expect: tuple[int, bytes] | None = None, progress: ReportProgress | None = None
) -> Verification:
    """Check the log up to its present head; `expect` is a head (position, hash) noted earlier and kept elsewhere."""
    head = log.head()
    check = _Check(log, head)
    problems = check.run(expect, progress)
    return Verification(not problems, check.events, head.position, head.hash, problems)


class _Check:
    """One pass over a log, up to the head that it had at the beginning."""

    def __init__(self, log: EventLog, head: Head) -> None:
        self._log = log
        self._head = head
        self._problems: list[Problem] = []
        self.events = 0

    def run(self, expect: tuple[int, bytes] | None, progress: ReportProgress | None) -> list[Problem]:
        """Return the problems found, by position."""
        self._check_chain(expect, progress)
        for stray in self._log.misplaced(limit=PROBLEMS_MAX):
            before = "is its first" if stray.previous_version is None else f"follows version {stray.previous_version}"
            self._found(stray.position, f"version {stray.version} of stream {stray.stream_id!r} {before}")
        return sorted(set(self._problems))[:PROBLEMS_MAX]

    def _found(self, position: int, problem: str) -> None:
        self._problems.append(Problem(position, problem))

    def _check_chain(self, expect: tuple[int, bytes] | None, progress: ReportProgress | None) -> None:
        events = self._events(progress)
        pending = next(events, None)
        previous_hash = GENESIS
        last = 0
        for link in self._links():
            self._check_coverage(link, last)
            digests: list[bytes] = []
            while pending is not None and pending.position <= link.last_position:
                if pending.recorded_at != link.recorded_at:
                    self._found(pending.position, "the event's recorded_at is not that of its append")
                digests.append(pending.digest)
                pending = next(events, None)
            self._check_hash(link, previous_hash, digests)
            if expect is not None and link.last_position == expect[0]:
                self._check_expected(link, expect[1])
                expect = None
            previous_hash = link.hash  # go on from the stored hash, so that one edit is one problem
            last = link.last_position
        while pending is not None:
            self._found(pending.position, "no append of the chain covers this event")
            pending = next(events, None)
        self._check_head(last, previous_hash)
        if expect is not None:
            self._check_expected_but_absent(*expect)

    def _links(self) -> Iterator[AppendRow]:
        after = 0
        while links := self._log.appends(after, limit=_PAGE_ROWS):
            for link in links:
                if link.first_position > self._head.position:
                    return  # appended since the pass began
                yield link
            after = links[-1].last_position

    def _events(self, progress: ReportProgress | None) -> Iterator[StoredRow]:
        after = 0
        while rows := self._log.read(after, limit=_PAGE_ROWS, upto=self._head.position):
            for row in rows:
                self._check_event(row, after)
                after = row.position
                yield row
            self.events += len(rows)
            if progress is not None:
                progress(after, self._head.position)
        if after < self._head.position:
            self._missing(after + 1, self._head.position)

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

    def _check_hash(self, link: AppendRow, previous_hash: bytes, digests: list[bytes]) -> None:
        if chain(previous_hash, link.last_position, microseconds(link.recorded_at), digests) != link.hash:
            self._found(
                link.first_position,
                f"the chain breaks at the append of positions {link.first_position} to {link.last_position}",
            )

    def _check_head(self, last: int, hash_: bytes) -> None:
        if (last, hash_) != (self._head.position, self._head.hash):
            self._found(
                min(last, self._head.position) + 1,
                f"the head ({self._head.position}, {self._head.hash.hex()[:16]}…) is not the chain's last link "
                f"({last}, {hash_.hex()[:16]}…)",
            )

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
