"""The states of many sagas at once, rebuilt from their facts: a server reads the next ones while these are folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from ...domain.errors import CorruptEvent, UnknownEvent
from ...domain.saga.evolve import rebuild
from ...domain.saga.state import SagaState
from ..errors import SagaNotFound
from ..event_store.codec import Codec
from ..event_store.port import EventLog, EventPayload

SAGAS_PER_READ = 100


def rebuilt(log: EventLog, codec: Codec, saga_ids: Sequence[str]) -> Iterator[SagaState]:
    """The state of each saga, in the order given.

    Raises `SagaNotFound` for the first that is not there, `UnreadableEvent` for the first that cannot be read, and
    `Unavailable`.
    """
    parts = [saga_ids[begin : begin + SAGAS_PER_READ] for begin in range(0, len(saga_ids), SAGAS_PER_READ)]
    for part, payloads in zip(parts, log.payloads(parts), strict=True):
        states = _folded(log, codec, payloads)
        for saga_id in part:
            if saga_id not in states:
                raise SagaNotFound(saga_id)
            yield states[saga_id]


def _folded(log: EventLog, codec: Codec, payloads: Sequence[EventPayload]) -> Mapping[str, SagaState]:
    decode = codec.registry.decode
    states: dict[str, SagaState] = {}
    for saga_id, stream in groupby(payloads, key=itemgetter(0)):
        try:
            state = rebuild(saga_id, (decode(topic, version, stored) for _, topic, version, stored in stream))
        except (UnknownEvent, CorruptEvent):
            for row in log.stream(saga_id):
                codec.decode(row)  # raises, and says where it stands
            raise
        if state.started_at is not None:  # another stream than a saga's has no such fact
            states[saga_id] = state
    return states
