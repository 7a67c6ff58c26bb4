"""Events of the log as messages: CloudEvents 1.0 in the binary mode of the NATS binding (attributes in headers).

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...event_store.event_row import STATE_BYTES_MAX, StoredRow
from ...runtime.trace_context import parse_traceparent
from .errors import MessageRejected

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
MESSAGE_ID = "Nats-Msg-Id"
"""The broker drops a message whose id it has seen within its duplicate window."""


class EventNotice(NamedTuple):
    """What a message says: that the log has an event at a position."""

    position: int
    topic: str
    process_id: str
    data: bytes | None
    """The event's bytes; None if the message only refers to an event that is too large for the broker."""
    traceparent: str | None = None
    """The trace context in which it was sent."""


def subject_of(stream: str, choreography: str, topic: str, *, is_whole: bool = True) -> str:
    """Returns the subject of an event type of a choreography; events that are parts have a subject of their own."""
    return f"{stream}.{choreography}.{topic}{'' if is_whole else '.part'}"


def source_of(stream: str) -> str:
    """Returns the CloudEvents source that stands for a ledger."""
    return f"/sagaledger/{stream}"


def headers_of(
    stream: str, row: StoredRow, *, by_reference: bool = False, traceparent: str | None = None
) -> dict[str, str]:
    """Returns an event's attributes as the headers of its message.

    `by_reference`: the message has no data, and refers to them in the log (the extension `dataref`, a claim check:
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/dataref.md).
    `traceparent`: the trace context in which it is sent
    (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md).
    """
    message_id = f"{stream}:{row.position}"
    headers = {
        "ce-specversion": SPEC_VERSION,
        "ce-id": message_id,
        "ce-source": source_of(stream),
        "ce-type": row.topic,
        "ce-subject": row.correlation_id or row.stream_id,
        "ce-time": row.recorded_at.isoformat(),
        "ce-position": str(row.position),
        "content-type": CONTENT_TYPE,
        MESSAGE_ID: message_id,
    }
    if by_reference:
        headers["ce-dataref"] = _reference(stream, row.position)
    if traceparent is not None:
        headers["ce-traceparent"] = traceparent
    if row.causation_position is not None:
        headers["ce-causationposition"] = str(row.causation_position)
    return headers


def read(stream: str, headers: Mapping[str, str] | None, data: bytes) -> EventNotice:
    """Returns what a message says. Raises `MessageRejected` for one that is no CloudEvent of this ledger."""
    given = headers or {}
    if given.get("ce-specversion") != SPEC_VERSION:
        raise MessageRejected(f"it is no CloudEvent {SPEC_VERSION}: ce-specversion is {given.get('ce-specversion')!r}")
    if given.get("ce-source") != source_of(stream):
        raise MessageRejected(f"it is of {given.get('ce-source')!r}, not of this ledger ({source_of(stream)})")
    if len(data) > STATE_BYTES_MAX:
        raise MessageRejected(f"its {len(data):,} bytes are more than an event may have ({STATE_BYTES_MAX:,})")
    missing = [name for name in ("ce-id", "ce-type", "ce-subject", "ce-position") if not given.get(name)]
    if missing:
        raise MessageRejected(f"it lacks {', '.join(missing)}")
    position = given["ce-position"]
    if not position.isascii() or not position.isdigit() or not 0 < len(position) < 19:
        raise MessageRejected(f"ce-position {position[:40]!r} is no position of a log")
    if given["ce-id"] != f"{stream}:{int(position)}":
        raise MessageRejected(f"ce-id {given['ce-id'][:80]!r} does not name position {int(position)} of {stream}")
    reference = given.get("ce-dataref")
    if reference is not None and (data or reference != _reference(stream, int(position))):
        raise MessageRejected(f"ce-dataref {reference[:80]!r} stands for the data of position {int(position)}, alone")
    context = parse_traceparent(given.get("ce-traceparent"))
    whole = data if reference is None else None
    traceparent = None if context is None else str(context)
    return EventNotice(int(position), given["ce-type"], given["ce-subject"], whole, traceparent)


def _reference(stream: str, position: int) -> str:
    return f"{source_of(stream)}/{position}"
