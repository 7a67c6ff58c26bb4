"""The steps of a saga as a tree: parallel ones joined by a bracket, and the items of a list below their step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ....domain.recorded_event import RecordedEvent
from ....domain.saga.events import Direction
from ....domain.saga.item_names import split_item_name
from ....projections.projection import Row
from .event_text import direction_of

OPEN = ("started", "waiting")
"""The statuses of attempts that have not ended."""

_Key: TypeAlias = tuple[str, str]


class Branch(NamedTuple):
    """A step in one direction, with its attempts, and the lines that join it to others."""

    attempts: Sequence[Row]
    stem: str
    """What stands before its name, such as `├ ` of a step that runs beside others."""
    below: str
    """What stands before the lines below its name."""

    @property
    def step(self) -> str:
        """The step's name."""
        return str(self.attempts[0]["step"])

    @property
    def is_compensation(self) -> bool:
        """Whether it undoes the step."""
        return bool(self.attempts[0]["direction"] == Direction.COMPENSATION)


class _Span(NamedTuple):
    """A step in one direction, and the events between which it was under way."""

    attempts: list[Row]
    first: int
    last: float


def step_tree(events: Sequence[RecordedEvent], attempts: Iterable[Row]) -> Iterator[Branch]:
    """Yield the steps in the order in which they began.

    Steps are parallel if one began before another had ended, by the order of their events and not by clocks, of which
    each worker has its own.
    """
    spans = _spans(events, attempts)
    parents = {key: _parent(key) for key in spans}
    top = [span for key, span in spans.items() if parents[key] not in spans]
    items: dict[_Key, list[_Span]] = {}
    for key, span in spans.items():
        parent = parents[key]
        if parent is not None and parent in spans:
            items.setdefault(parent, []).append(span)
    for cluster in _clusters(top):
        for span, stem, below in _joined(cluster, ("┌ ", "├ ", "└ ", "│ ") if len(cluster) > 1 else ("", "", "", "")):
            yield Branch(span.attempts, stem, below)
            of_list = items.get(_key_of(span.attempts[0]), [])
            for item, inner, under in _joined(of_list, ("├─ ", "├─ ", "└─ ", "│  ")):
                yield Branch(item.attempts, f"{below}{inner}", f"{below}{under}")


def _spans(events: Sequence[RecordedEvent], attempts: Iterable[Row]) -> Mapping[_Key, _Span]:
    places: dict[_Key, list[int]] = {}
    for place, recorded in enumerate(events):
        step = getattr(recorded.event, "step", None)
        if step is not None:
            places.setdefault((step, direction_of(recorded.event).value), []).append(place)
    grouped: dict[_Key, list[Row]] = {}
    for row in attempts:
        grouped.setdefault(_key_of(row), []).append(row)
    spans = {}
    for key, rows in grouped.items():
        at = places.get(key, [0])
        is_open = rows[-1]["status"] in OPEN or rows[-1].get("retry_at") is not None
        spans[key] = _Span(rows, at[0], math.inf if is_open else at[-1])
    return dict(sorted(spans.items(), key=lambda each: each[1].first))


def _key_of(row: Row) -> _Key:
    return row["step"], str(row["direction"])


def _parent(key: _Key) -> _Key | None:
    item = split_item_name(key[0])
    return None if item is None else (item[0], key[1])


def _clusters(spans: Iterable[_Span]) -> Iterator[list[_Span]]:
    """Yield the steps that overlap, together; the others one by one."""
    cluster: list[_Span] = []
    for span in spans:
        if cluster and span.first > max(each.last for each in cluster):
            yield cluster
            cluster = []
        cluster.append(span)
    if cluster:
        yield cluster


def _joined(spans: Sequence[_Span], lines: tuple[str, str, str, str]) -> Iterator[tuple[_Span, str, str]]:
    """Yield steps with what stands before them and below them: first, middle and last of some, and a line on."""
    first, middle, last, on = lines
    for number, span in enumerate(spans, 1):
        is_last = number == len(spans)
        stem = last if is_last else first if number == 1 else middle
        yield span, stem, " " * len(on) if is_last else on
