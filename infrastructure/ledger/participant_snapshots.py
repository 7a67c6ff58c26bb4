"""Snapshots of participants' streams, so that a long stream need not be read from its start.

A snapshot counts only for what it is of. Its column `schema` is `<category>:<meaning>:<seal>`. The meaning names what a
state of the participant is: the participant's version, the type of its state, its first state, the schema versions of
its events, and the code that makes states of events: of `evolve`, of these types, and of the upcasters. The seal is a
SHA-256 over the stream, the version, the digest of the event at that version, category and meaning, and the state. A
snapshot with another meaning or another seal is not used: the stream is folded from its start instead. The seal is no
signature; `verify` folds each snapshot's stream again.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ...domain import json_numbers
from ...domain.errors import NotSerialisable
from ...domain.participant import Participant
from ..event_store.event_log import Snapshot
from ..event_store.hash_chain import text_column
from .app import App
from .append_builder import CachedState
from .code_fingerprint import code_fingerprint

_log = logging.getLogger(__name__)
_version_column = struct.Struct(">q").pack


class SnapshotStore(Protocol):
    """The part of an event log that keeps snapshots."""

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        """Return the stored snapshots of these streams."""
        ...

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Store a snapshot for each stream."""
        ...

    def digests(self, ends: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        """Return, for streams that have an event of the version given, the digest of that event."""
        ...


class ParticipantSnapshots:
    """Loads and saves the states of participants' streams."""

    def __init__(self, app: App, store: SnapshotStore) -> None:
        self._app = app
        self._store = store
        self._meanings: dict[str, str] = {}

    def load(self, stream_ids: Sequence[str]) -> dict[str, CachedState]:
        """Return the states of these streams at their snapshots, for those that have one that counts."""
        snapshots = self._store.snapshots(stream_ids) if stream_ids else []
        kept = [each for each in snapshots if participant_of(self._app, each.stream_id).keeps_snapshots]
        candidates = [each for each in kept if meaning_in(each) == self._meaning(each.stream_id)]
        if not candidates:
            return {}
        digests = self._store.digests([(each.stream_id, each.version) for each in candidates])
        found: dict[str, CachedState] = {}
        for snapshot in candidates:
            event_digest = digests.get(snapshot.stream_id)
            if event_digest is None or not is_sealed(snapshot, event_digest):
                _log.warning(
                    "the snapshot of %r at version %d is not of its event there: the stream is folded from its start",
                    snapshot.stream_id,
                    snapshot.version,
                )
                continue
            try:
                state = state_of(snapshot, participant_of(self._app, snapshot.stream_id))
            except ValueError as error:  # msgspec's errors are of this kind, and so is text that is not UTF-8
                _log.warning("the snapshot of %r cannot be read, and is ignored: %s", snapshot.stream_id, error)
            else:
                found[snapshot.stream_id] = CachedState(snapshot.version, state)
        return found

    def save(self, states: Mapping[str, CachedState]) -> None:
        """Store these states as snapshots, as far as the log has the events that they are of.

        Raises `NotSerialisable` for a state with a number that JSON lacks, and what msgspec does for one that is no
        JSON.
        """
        kept = [stream_id for stream_id in states if participant_of(self._app, stream_id).keeps_snapshots]
        digests = self._store.digests([(stream_id, states[stream_id].version) for stream_id in kept])
        self._store.put_snapshots(
            [
                sealed(stream_id, states[stream_id].version, self._meaning(stream_id), encoded, event_digest)
                for stream_id, event_digest in digests.items()
                for encoded in (_written(states[stream_id].state),)
            ]
        )

    def _meaning(self, stream_id: str) -> str:
        participant = participant_of(self._app, stream_id)
        meaning = self._meanings.get(participant.category)
        if meaning is None:
            meaning = self._meanings[participant.category] = meaning_of(participant)
        return meaning


def participant_of(app: App, stream_id: str) -> Participant[Any]:
    """Return the participant that a stream belongs to. Raises `LookupError` if none is registered."""
    participant = app.participant_of(stream_id)
    if participant is None:
        raise LookupError(f"stream {stream_id!r} belongs to no registered participant")
    return participant


def meaning_of(participant: Participant[Any]) -> str:
    """Return what a state of a participant means, as `<category>:<16 hexadecimal digits>`."""
    what = (
        participant.version,
        msgspec.json.schema(participant.state_type),
        sorted((type_.schema.name, type_.schema.version) for type_ in participant.events),
        code_fingerprint(
            participant.evolve,
            participant.state_type,
            participant.initial,
            participant.events,
            [type_.schema.upcasters for type_ in participant.events],
        ),
    )
    return f"{participant.category}:{hashlib.sha256(msgspec.json.encode(what, order='deterministic')).hexdigest()[:16]}"


def meaning_in(snapshot: Snapshot) -> str:
    """Return the meaning that a snapshot says it has; empty if it says none."""
    return snapshot.schema.rpartition(":")[0]


def sealed(stream_id: str, version: int, meaning: str, state: bytes, event_digest: bytes) -> Snapshot:
    """Return a snapshot of a state at the event that has this digest."""
    return Snapshot(stream_id, version, f"{meaning}:{_seal(stream_id, version, meaning, state, event_digest)}", state)


def is_sealed(snapshot: Snapshot, event_digest: bytes) -> bool:
    """Return whether a snapshot is of the event that has this digest, and its row is as it was written."""
    stream_id, version, schema, state = snapshot
    meaning, _, seal = schema.rpartition(":")
    return seal == _seal(stream_id, version, meaning, state, event_digest)


def state_of(snapshot: Snapshot, participant: Participant[Any]) -> Any:
    """Return the state that a snapshot stores. Raises `ValueError` for bytes that are none."""
    return msgspec.json.decode(snapshot.state, type=participant.state_type)


def _written(state: Any) -> bytes:
    """Return a state as JSON from which the same state is read."""
    written = msgspec.json.encode(state)
    if json_numbers.may_stand_for_one(written) and json_numbers.is_within(state):
        raise NotSerialisable("its state has a number that JSON lacks (NaN or infinity)")
    return written


def _seal(stream_id: str, version: int, meaning: str, state: bytes, event_digest: bytes) -> str:
    columns = (text_column(stream_id), _version_column(version), event_digest, text_column(meaning), state)
    return hashlib.sha256(b"".join(columns)).hexdigest()
