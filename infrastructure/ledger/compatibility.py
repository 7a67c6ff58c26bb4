"""Compares what an app declares with what a ledger recorded: before the app is deployed, in a pipeline.

Nothing is written, so that a role that may only read is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from ...domain.errors import CorruptEvent, UnknownEvent
from ...domain.event import Event
from ...domain.saga.definition import Definition
from ...domain.saga.replay import Divergence, replay
from ...domain.saga.schema_changes import StructuralDifference
from ...projections.view_version import is_to_be_upgraded
from ..event_store.event_row import EventPayload
from ..read_models.checkpoints import ABSENT, BUILDING
from ..runtime.progress import ReportProgress
from .context import LedgerContext
from .definition_usage import VersionStatus, VersionUsage, usage_of
from .saga_census import VersionKey, take_census

DIVERGENCES_MAX: Final = 20
"""How many diverging sagas are reported."""
_SAGAS_PER_READ: Final = 100
_LIBRARY_TOPIC: Final = ":"
"""What only the topics of applications of the `eventsourcing` library have, as in `module:Class.Event`."""


class Verdict(StrEnum):
    """What became of something that is on record."""

    NEW = "new"
    """The app declares it, and the ledger has nothing of it."""
    SAME = "same"
    ADDITIVE = "additive"
    """It changed, and what is recorded can go on with it."""
    BREAKING = "breaking"
    """It changed or is missing, and something that is recorded cannot go on."""
    GONE = "gone"
    """The app does not declare it, and nothing that is recorded needs it."""


class VersionVerdict(NamedTuple):
    """What became of a version of a definition."""

    name: str
    version: int
    verdict: Verdict
    unfinished: int
    sagas: int
    is_declared: bool
    """Whether the app declares it."""
    differences: Sequence[StructuralDifference]
    """What changed; empty for a ledger of version 0.1.0, which has only hashes."""


class ViewVerdict(NamedTuple):
    """What became of a view."""

    view: str
    verdict: Verdict
    recorded_version: int
    """The version that the app would follow, or else the one that has the view's name; 0 if there is none."""
    declared_version: int


class TopicVerdict(NamedTuple):
    """A type of events that the log has, and that the app cannot read."""

    topic: str
    schema_version: int
    events: int
    readable_version: int
    """The schema version up to which the app reads this type; 0 if it does not register it."""


class Compatibility(NamedTuple):
    """What became of everything that an app declares or a ledger recorded."""

    versions: list[VersionVerdict]
    views: list[ViewVerdict]
    unreadable: list[TopicVerdict]
    replayed: int
    """How many sagas were replayed; fewer than asked for if many diverged."""
    divergences: list[Divergence]

    @property
    def is_breaking(self) -> bool:
        """Whether something that is recorded cannot go on with the app."""
        verdicts = [version.verdict for version in self.versions] + [view.verdict for view in self.views]
        return Verdict.BREAKING in verdicts or bool(self.unreadable or self.divergences)


def check_compatibility(
    context: LedgerContext, *, replays: int | None = 0, report: ReportProgress | None = None
) -> Compatibility:
    """Compare the app in use with the ledger.

    `replays`: of how many sagas to replay the history, the newest first; None: of all.
    """
    census = take_census(context, newest=replays, report=report)
    counts = {key: (census.unfinished[key], count) for key, count in census.sagas.items()}
    replayed, divergences = 0, []
    for divergence in _replays(context, census.newest):
        replayed += 1
        if divergence is not None:
            divergences.append(divergence)
            if len(divergences) == DIVERGENCES_MAX:
                break
    return Compatibility(
        [_of_version(version) for version in usage_of(context, counts)],
        list(_of_views(context)),
        list(_unreadable(context)),
        replayed,
        divergences,
    )


def _of_version(version: VersionUsage) -> VersionVerdict:
    differences = version.differences
    if version.status is VersionStatus.NOT_REGISTERED:
        verdict = Verdict.BREAKING if version.unfinished else Verdict.GONE
    elif version.recorded_fingerprint is None:
        verdict = Verdict.NEW
    elif version.status is VersionStatus.CHANGED:
        verdict = Verdict.BREAKING
    else:
        verdict = Verdict.ADDITIVE if differences else Verdict.SAME
    is_declared = version.registered is not None
    return VersionVerdict(
        version.name, version.version, verdict, version.unfinished, version.sagas, is_declared, differences
    )


def _of_views(context: LedgerContext) -> Iterator[ViewVerdict]:
    declared = {projection.name: projection.version for projection in context.app.projections}
    seen = {checkpoint.view: checkpoint for checkpoint in context.queries.seen()}
    recorded_views = context.queries.checkpoints()
    public = {each.name: each for each in recorded_views if each.status != BUILDING and not each.is_beside}
    for view, checkpoint in sorted((public | seen).items()):
        recorded = 0 if checkpoint.status == ABSENT else checkpoint.version
        version = declared.get(view, 0)
        if not version:
            verdict = Verdict.GONE
        elif not recorded:
            verdict = Verdict.NEW
        elif recorded == version:
            verdict = Verdict.SAME
        else:
            verdict = Verdict.ADDITIVE if is_to_be_upgraded(recorded, version) else Verdict.BREAKING
        yield ViewVerdict(view, verdict, recorded, version)


def _unreadable(context: LedgerContext) -> Iterator[TopicVerdict]:
    readable = {type_.schema.name: type_.schema.version for type_ in context.app.registry.types}
    for topic, schema_version, events in context.backend.topics():
        version = readable.get(topic, 0)
        if schema_version > version and not (version == 0 and _LIBRARY_TOPIC in topic):
            yield TopicVerdict(topic, schema_version, events, version)


def _replays(context: LedgerContext, sagas: Sequence[tuple[str, VersionKey]]) -> Iterator[Divergence | None]:
    """Replay the sagas whose definition the app has, some at a time, and yield where each diverges."""
    definitions = {(definition.name, definition.version): definition for definition in context.app.definitions}
    wanted = {saga_id: definitions[key] for saga_id, key in sagas if key in definitions}
    saga_ids = list(wanted)
    parts = [saga_ids[begin : begin + _SAGAS_PER_READ] for begin in range(0, len(saga_ids), _SAGAS_PER_READ)]
    for payloads in context.backend.payloads(parts):
        for saga_id, stream in groupby(payloads, key=itemgetter(0)):
            yield _replay(context, wanted[saga_id], saga_id, stream)


def _replay(
    context: LedgerContext, definition: Definition, saga_id: str, stream: Iterable[EventPayload]
) -> Divergence | None:
    events: list[Event] = []
    for number, (_, topic, schema_version, stored) in enumerate(stream, 1):
        try:
            events.append(context.codec.decode_payload(topic, schema_version, stored))
        except (UnknownEvent, CorruptEvent) as error:
            return replay(definition, events, saga_id) or Divergence(saga_id, number, topic, str(error))
    return replay(definition, events, saga_id)
