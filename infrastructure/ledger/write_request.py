"""A request to write that may come twice: a repeat finds in the log what the first one wrote, and writes nothing.

The append has an id that the caller made from the request, and the meta of the append's first event has a fingerprint
of the request. So the log itself remembers the request: nothing is stored beside it, nothing expires, and a server that
restarts knows as much as before.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ...domain.recorded_event import Meta
from ..errors import DamagedLedger, RequestKeyReused, VersionConflict
from ..event_store.append_call import AppendCall, Appended, Receipt
from ..event_store.event_log import EventLog
from ..event_store.event_row import NewEvent
from ..event_store.instants import microseconds


class WriteRequest(NamedTuple):
    """A request to write, by which its append is found again."""

    append_id: UUID
    """The id of its append, always the same for the same request."""
    fingerprint: str
    """A hash of all that was asked for: another request under the same id is refused."""
    expected_version: int | None = None
    """The version that the saga must have; None if any is right."""

    def receipt(self, log: EventLog) -> Receipt | None:
        """Return what the request wrote before, as the receipt of one append; None if it wrote nothing yet.

        Raises `RequestKeyReused` if another request wrote under the id.
        """
        written = log.find_append(self.append_id)
        if written is None:
            return None
        first, last = written.first_position, written.last_position
        rows = log.read(first - 1, limit=1, upto=first)
        if not rows:
            raise DamagedLedger(f"the log has no event at position {first}, where append {self.append_id} begins")
        if msgspec.json.decode(rows[0].meta, type=Meta).request != self.fingerprint:
            raise RequestKeyReused(first)
        return Receipt([Appended(first, last)], microseconds(written.recorded_at))

    def signed(self, call: AppendCall) -> AppendCall:
        """Return an append call under the request's id, whose first event names the request."""
        append, *others = call.appends
        event, *following = append.events
        named = msgspec.structs.replace(append, events=[self.named(event), *following])
        return call._replace(append_id=self.append_id, appends=[named, *others])

    def named(self, event: NewEvent) -> NewEvent:
        """Return an event whose meta names the request."""
        meta = replace(msgspec.json.decode(event.meta, type=Meta), request=self.fingerprint)
        return NewEvent.with_digest(
            event.stream_id,
            event.version,
            event.topic,
            event.schema_version,
            event.state,
            event.correlation_id,
            event.causation_position,
            msgspec.json.encode(meta).decode(),
        )

    def require_version(self, saga_id: str, version: int) -> None:
        """Raise `VersionConflict` unless the saga is at the version that the request expects."""
        if self.expected_version not in (None, version):
            raise VersionConflict(saga_id, self.expected_version or 0, version)
