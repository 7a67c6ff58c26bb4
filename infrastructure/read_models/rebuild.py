"""Rebuilding a view: the log is folded anew beside the live view, and the new generation replaces it in one step.

Meanwhile the live view follows the log and answers queries. A generation of another version is not dropped, but stands
beside the new one from then on, for the programs that declare it. What was folded is kept if the process dies, and the
next rebuild goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ...projections.poison_event import PoisonEvent
from ...projections.projection import Projection
from ...projections.view_version import is_older, is_to_be_upgraded
from ..errors import Unavailable
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..event_store.view_store import first_line
from ..runtime.progress import ReportProgress
from . import checkpoints
from .apply_batch import View, commit, fold, narrowed, prepare, write
from .checkpoints import BUILDING, LIVE, Checkpoint
from .declarations import check_declarations
from .event_batch import BATCH_EVENTS_MAX, EventBatchReader
from .generations import drop_generation, set_aside
from .row_store import RowStore
from .tables import create, drop, generation_table, install, rebuild_table, rename

LOCKED_EVENTS_MAX = 2_000
"""The most events that are folded while the live view is locked; with more to go, it is released again."""
SWITCH_ATTEMPTS_MAX = 100
"""How often the live view may have run too far ahead before the rebuild gives up."""


def rebuild(
    backend: Backend,
    codec: Codec,
    projection: Projection,
    progress: ReportProgress | None = None,
    *,
    batch_events_max: int = BATCH_EVENTS_MAX,
) -> Checkpoint:
    """Rebuild a view. Returns the checkpoint of its new generation.

    Raises `PoisonEvent` at an event that cannot be folded (the live view stays as it is, and what was rebuilt is
    kept), `NotALedger` and `Unavailable`.
    """
    install(backend.views, [projection])
    try:
        built = _Rebuild(backend, codec, projection, batch_events_max).run(progress)
    except DBAPIError as error:
        raise Unavailable(f"view {projection.name!r} cannot be rebuilt now: {first_line(error)}") from error
    check_declarations(backend.views, [projection])
    return built


def upgrade_views(
    backend: Backend, codec: Codec, projections: Sequence[Projection], progress: ReportProgress | None = None
) -> list[Checkpoint]:
    """Rebuild every view that an older version of its projection made. Returns the checkpoints of the rebuilt views.

    So is a view that depends on the app's declarations, and was made for others.
    Views that the database does not have, and those that a newer version made, are left alone.
    Raises what `rebuild` raises; the views before the failing one are rebuilt then.
    """
    with backend.views.reading() as connection:
        recorded = checkpoints.read_current(connection) if checkpoints.exist(connection) else {}
    return [
        rebuild(backend, codec, projection, progress)
        for projection in projections
        if projection.name in recorded and is_to_be_upgraded(recorded[projection.name].version, projection.version)
    ]


class _Rebuild:
    """One view on its way to its next generation."""

    def __init__(self, backend: Backend, codec: Codec, projection: Projection, batch_events_max: int) -> None:
        self._backend = backend
        self._views = backend.views
        self._reader = EventBatchReader(backend, codec, projection.topics, events_max=batch_events_max)
        self._projection = projection

    def run(self, progress: ReportProgress | None) -> Checkpoint:
        with self._views.writing() as connection:
            generation = self._begin(connection).generation
        view = View(self._projection, RowStore(rebuild_table(self._projection, generation), self._views.dialect))
        for _ in range(SWITCH_ATTEMPTS_MAX):
            self._fold_to_head(view, progress)
            with self._views.writing() as connection:
                switched = self._switch(connection, view)
            if switched is not None:
                return switched
        raise Unavailable(
            f"view {self._projection.name!r} could not be replaced: events come faster than they can be folded; "
            "rebuild again when there is less traffic (it goes on from here)"
        )

    def _begin(self, connection: Connection) -> Checkpoint:
        """Return the generation to fill: the one that an earlier rebuild left, or a new one."""
        name = self._projection.name
        self._views.lock_installation(connection)
        checkpoints.lock(connection, [name])  # look only after that: another rebuild may just have begun
        begun, live = checkpoints.building(connection, name), checkpoints.current(connection, name)
        if live is None:
            raise Unavailable(f"view {name!r} was removed from the database: there is nothing to rebuild")
        if begun is not None:
            if begun.version == self._projection.version and begun.generation == live.generation + 1:
                return begun
            drop(connection, rebuild_table(self._projection, begun.generation))
            checkpoints.remove(connection, begun)
        create(connection, rebuild_table(self._projection, live.generation + 1))
        return checkpoints.add(connection, name, live.generation + 1, self._projection.version, BUILDING)

    def _fold_to_head(self, view: View, progress: ReportProgress | None) -> None:
        """Fold, batch by batch, up to the end of the log as it is now."""
        upto = head = self._backend.head().position
        while True:
            with self._views.reading() as connection:
                built = self._built(connection)
                if built.position >= head:
                    return
                batch = self._reader.read(built.position, upto)
                step = prepare(connection, view, built, batch)
            with self._views.writing() as connection:
                rejected = commit(connection, [step._replace(folded=step.folded._replace(poison=None))]).rejected
            if rejected:
                upto = narrowed(batch, view, rejected[0].cause).upto
                continue
            upto = head
            _raise_poison(step.folded.poison)
            if progress is not None:
                progress(step.folded.upto, head)

    def _switch(self, connection: Connection, view: View) -> Checkpoint | None:
        """Replace the live generation with the new one; returns None if the live one has run too far ahead."""
        name = self._projection.name
        beside = checkpoints.name_beside(name, self._projection.version)
        checkpoints.lock(connection, [name, beside])
        live, built = checkpoints.current(connection, name), self._built(connection)
        if live is None:
            raise Unavailable(f"view {name!r} was removed from the database while it was rebuilt")
        position = fold_locked(connection, self._reader, view, live, built)
        if position is None:
            return None
        if live.version == built.version:
            drop(connection, generation_table(self._projection, live.generation))
            checkpoints.remove(connection, live)
        else:
            superseded = checkpoints.current(connection, beside)
            if superseded is not None:
                drop_generation(connection, superseded)
            set_aside(connection, live)
        rename(connection, view.table.table, name)
        checkpoints.change(connection, built, status=LIVE, position=position)
        fresh = built._replace(status=LIVE, position=0)
        checkpoints.record_moves(connection, [(fresh, position)])
        return fresh._replace(position=position)

    def _built(self, connection: Connection) -> Checkpoint:
        """Return how far the new generation has come."""
        built = checkpoints.building(connection, self._projection.name)
        if built is None:
            raise Unavailable(
                f"another rebuild of view {self._projection.name!r}, or a newer version, finished first: there is "
                "nothing left to do"
            )
        return built


def publish(connection: Connection, reader: EventBatchReader, view: View) -> bool:
    """Give a view's name to the generation of a newer version beside it, and set the older one aside.

    Does nothing, and returns False, if it is not newer, is stopped, or is too far behind the older one.
    A rebuild of the older one that has begun is dropped. Raises `PoisonEvent` at an event that cannot be folded.
    """
    name = view.projection.name
    checkpoints.lock(connection, [name, view.table.name])
    public, own = checkpoints.current(connection, name), checkpoints.current(connection, view.table.name)
    if public is None or own is None or own.status != LIVE or not is_older(public.version, own.version):
        return False
    position = fold_locked(connection, reader, view, public, own)
    if position is None:
        return False
    begun = checkpoints.building(connection, name)
    if begun is not None:
        drop(connection, rebuild_table(view.projection, begun.generation))
        checkpoints.remove(connection, begun)
    checkpoints.move(connection, [(own, position)])
    set_aside(connection, public)
    rename(connection, view.table.table, name)
    checkpoints.hand_over(connection, own._replace(position=position), name, public.generation + 1)
    return True


def fold_locked(
    connection: Connection, reader: EventBatchReader, view: View, live: Checkpoint, built: Checkpoint
) -> int | None:
    """Fold what a generation lacks that is to replace the live one, while both are locked. Returns its position then.

    Returns None, and folds nothing, if that is too much. Raises `PoisonEvent` at an event that cannot be folded.
    """
    if is_far_behind(built, live):
        return None
    reached = built.position
    while reached < live.position:
        batch = reader.read(reached, live.position)
        folded = fold(connection, view, batch)
        _raise_poison(folded.poison)
        while (cause := write(connection, view, folded.change)) is not None:
            batch = narrowed(batch, view, cause)
            folded = fold(connection, view, batch)
        reached = folded.upto
    return reached


def is_far_behind(built: Checkpoint, live: Checkpoint) -> bool:
    """Whether a generation lacks more than may be folded while the live one is locked."""
    return live.position - built.position > LOCKED_EVENTS_MAX


def _raise_poison(poison: PoisonEvent | None) -> None:
    if poison is not None:
        raise poison
