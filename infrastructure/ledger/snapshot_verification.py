"""Verifying snapshots: each is of its event, and is what the events of its stream make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from ...domain.errors import SagaledgerError
from ...domain.participant import Participant
from ..errors import Unavailable
from ..event_store.event_log import Snapshot
from ..event_store.verify import PROBLEMS_MAX, Problem
from .context import LedgerContext
from .participant_snapshots import is_sealed, meaning_in, meaning_of, state_of

_SEALED: Final = re.compile(r".+:[0-9a-f]{16}:[0-9a-f]{64}", re.DOTALL)
_OF_0_1_0: Final = re.compile(r"[^:]+:[0-9a-f]{16}")
"""The column `schema` as version 0.1.0 wrote it. Such a snapshot is never used."""
_VERSIONS_PER_READ: Final = 2_000


def verify_snapshots(context: LedgerContext) -> list[Problem]:
    """Return a problem for each snapshot that is not as it was written, or not what its stream's events make.

    A snapshot of another meaning than the app's participant is never used, so only its seal is checked; one of a stream
    that belongs to no participant is of the `eventsourcing` library, which keeps no seal.
    """
    return list(islice(_problems(context), PROBLEMS_MAX))


def _problems(context: LedgerContext) -> Iterator[Problem]:
    for snapshot in context.backend.all_snapshots():
        try:
            problem = _problem_of(context, snapshot)
        except Unavailable:
            raise
        except SagaledgerError as error:
            problem = (0, f"cannot be compared with its stream: {error}")
        if problem is not None:
            position, detail = problem
            yield Problem(position, f"the snapshot of {snapshot.stream_id!r} at version {snapshot.version} {detail}")


def _problem_of(context: LedgerContext, snapshot: Snapshot) -> tuple[int, str] | None:
    participant = context.app.participant_of(snapshot.stream_id)
    if not _SEALED.fullmatch(snapshot.schema):
        if participant is None or not participant.keeps_snapshots or _OF_0_1_0.fullmatch(snapshot.schema):
            return None
        return 0, f"has a schema that sagaledger does not write: {snapshot.schema!r}"
    found = context.backend.stream(snapshot.stream_id, after=snapshot.version - 1, upto=snapshot.version)
    if not found:
        return 0, "is of an event that the log does not have"
    position = found[0].position
    if not is_sealed(snapshot, found[0].digest):
        return position, "is not as it was written, or is of another event"
    if participant is None or meaning_in(snapshot) != meaning_of(participant):
        return None
    return None if _is_what_events_make(context, participant, snapshot) else (position, "is not what its events make")


def _is_what_events_make(context: LedgerContext, participant: Participant[Any], snapshot: Snapshot) -> bool:
    try:
        stored = state_of(snapshot, participant)
    except ValueError:
        return False
    state = participant.initial
    version = 0
    while version < snapshot.version:
        upto = min(version + _VERSIONS_PER_READ, snapshot.version)
        for row in context.backend.stream(snapshot.stream_id, after=version, upto=upto):
            state = participant.evolved(state, context.codec.decode(row).event)
        version = upto
    return _encoded(stored) == _encoded(state)


def _encoded(state: object) -> bytes:
    return msgspec.json.encode(state, order="deterministic")
