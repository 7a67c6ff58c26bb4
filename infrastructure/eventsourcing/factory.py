"""The infrastructure factory that puts an application of the `eventsourcing` library into a ledger.

Set `PERSISTENCE_MODULE=sagaledger.infrastructure.eventsourcing.factory` and `SAGALEDGER_DB=<url>` in its environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    InfrastructureFactoryError,
    ProcessRecorder,
    StoredEvent,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic

from ..event_store.connect import open_backend
from ..event_store.event_log import Snapshot
from .recorders import (
    LedgerAggregateRecorder,
    LedgerApplicationRecorder,
    LedgerProcessRecorder,
    LedgerTrackingRecorder,
    translated,
)


class LedgerSnapshotRecorder(LedgerAggregateRecorder):
    """The latest snapshot of each aggregate. The library reads events to go further back."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        with translated():
            self._log.put_snapshots(
                [
                    Snapshot(str(taken.originator_id), taken.originator_version, taken.topic, taken.state)
                    for taken in stored_events
                ]
            )
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,  # noqa: ARG002  # there is at most one snapshot
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        with translated():
            found = self._log.snapshots([str(originator_id)])
        return [
            StoredEvent(
                originator_id=originator_id, originator_version=taken.version, topic=taken.schema, state=taken.state
            )
            for taken in found
            if (gt is None or taken.version > gt) and (lte is None or taken.version <= lte)
        ][:limit]


class LedgerFactory(InfrastructureFactory[LedgerTrackingRecorder]):
    """Makes the recorders of an application, for the ledger that its environment names."""

    SAGALEDGER_DB = "SAGALEDGER_DB"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.SAGALEDGER_DB)
        if not url:
            raise InfrastructureFactoryError(f"{self.SAGALEDGER_DB} is not set: set it to the URL of the ledger")
        self._log = open_backend(url)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return LedgerSnapshotRecorder(self._log) if purpose == "snapshots" else LedgerAggregateRecorder(self._log)

    def application_recorder(self) -> ApplicationRecorder:
        return LedgerApplicationRecorder(self._log)

    def tracking_recorder(
        self, tracking_recorder_class: type[LedgerTrackingRecorder] | None = None
    ) -> LedgerTrackingRecorder:
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        chosen = tracking_recorder_class or (resolve_topic(topic) if topic else LedgerTrackingRecorder)
        return cast("LedgerTrackingRecorder", chosen(self._log))

    def process_recorder(self) -> ProcessRecorder:
        return LedgerProcessRecorder(self._log)

    def close(self) -> None:
        self._log.close()
