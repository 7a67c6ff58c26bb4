"""Rebuilding a view: folded anew from the first event, beside the live one, and put in its place at once.

What was folded is kept if the process dies: the next rebuild goes on from there. Meanwhile the live view follows the
log and answers; in the end, in one transaction, the new generation takes its name and its position.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ...projections.projection import PoisonEvent, Projection
from ..errors import Unavailable
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..event_store.view_store import create_engine_for, first_line, reading, writing
from ..runtime.progress import ReportProgress
from . import checkpoints as positions
from .apply_batch import View, commit, fold, prepare
from .checkpoints import BUILDING, LIVE, Checkpoint
from .event_batch import BATCH_EVENTS_MAX, EventBatch, EventBatchReader
from .row_store import RowStore
from .tables import create, drop, generation_table, install, rebuild_table, rename

LOCKED_EVENTS_MAX = 2_000
"""The most events that are folded while the live view is held; with more to go, it is let go on."""
APPROACHES_MAX = 100
"""How often the live view may have run ahead again before the rebuild gives up."""


def rebuild(
    backend: Backend,
    codec: Codec,
    projection: Projection,
    progress: ReportProgress | None = None,
    *,
    batch_events_max: int = BATCH_EVENTS_MAX,
) -> Checkpoint:
    """Rebuild a view; gives where its new generation stands.

    Raises `PoisonEvent` at an event that cannot be folded (the live view stays as it is, what was rebuilt is kept),
    `NotALedger`, `Unavailable`.
    """
    engine = create_engine_for(backend.url)
    try:
        install(engine, [projection])
        return _Rebuild(engine, backend, codec, projection, batch_events_max).run(progress)
    except DBAPIError as error:
        raise Unavailable(f"view {projection.name!r} cannot be rebuilt now: {first_line(error)}") from error
    finally:
        engine.dispose()


class _Rebuild:
    """One view on its way to its next generation."""

    def __init__(
        self, engine: Engine, backend: Backend, codec: Codec, projection: Projection, batch_events_max: int
    ) -> None:
        self._engine = engine
        self._backend = backend
        self._reader = EventBatchReader(backend, codec, projection.topics, events_max=batch_events_max)
        self._projection = projection

    def run(self, progress: ReportProgress | None) -> Checkpoint:
        with writing(self._engine) as connection:
            generation = self._begin(connection).generation
        view = View(self._projection, RowStore(rebuild_table(self._projection, generation), self._engine.dialect))
        for _ in range(APPROACHES_MAX):
            self._approach(view, progress)
            with writing(self._engine) as connection:
                switched = self._switch(connection, view)
            if switched is not None:
                return switched
        raise Unavailable(
            f"view {self._projection.name!r} could not be put in place: events come faster than they can be folded; "
            "rebuild again when there is less traffic (it goes on from here)"
        )

    def _begin(self, connection: Connection) -> Checkpoint:
        """The generation to fill: one that an earlier rebuild left, or a new one."""
        name = self._projection.name
        positions.lock(connection, [name])  # and then look: what another rebuild has just begun was not there before
        begun, live = positions.building(connection, name), positions.current(connection, name)
        if live is None:
            raise Unavailable(f"view {name!r} was removed from the database: nothing is there to be rebuilt")
        if begun is not None:
            if begun.version == self._projection.version and begun.generation == live.generation + 1:
                return begun
            drop(connection, rebuild_table(self._projection, begun.generation))
            positions.remove(connection, begun)
        create(connection, rebuild_table(self._projection, live.generation + 1))
        return positions.add(connection, name, live.generation + 1, self._projection.version, BUILDING)

    def _approach(self, view: View, progress: ReportProgress | None) -> None:
        """Fold, batch by batch, up to the end of the log as it is now."""
        head = self._backend.head().position
        while True:
            with reading(self._engine) as connection:
                standing = self._building(connection)
                if standing.position >= head:
                    return
                batch = self._reader.read(standing.position, head)
                step = prepare(connection, view, standing, batch)
            with writing(self._engine) as connection:
                refused = commit(connection, [step._replace(folded=step.folded._replace(poison=None))]).refused
            _raise_poison(step.folded.poison)
            if refused:
                raise Unavailable(
                    f"the database refuses what is rebuilt of {self._projection.name!r}: {refused[0].cause}"
                )
            if progress is not None:
                progress(step.folded.upto, head)

    def _switch(self, connection: Connection, view: View) -> Checkpoint | None:
        """Put the new generation in place of the live one, if it is as far; None if that has run ahead again."""
        name = self._projection.name
        positions.lock(connection, [name])
        live, built = positions.current(connection, name), self._building(connection)
        if live is None:
            raise Unavailable(f"view {name!r} was removed from the database while it was rebuilt")
        if live.position - built.position > LOCKED_EVENTS_MAX:
            return None
        position = max(live.position, built.position)
        while built.position < position:
            built = self._fold_locked(connection, view, built, self._reader.read(built.position, position))
        drop(connection, generation_table(self._projection, live.generation))
        rename(connection, view.table.table, name)
        positions.remove(connection, live)
        positions.change(connection, built, status=LIVE, position=position)
        fresh = built._replace(status=LIVE, position=0)
        positions.enter(connection, [(fresh, position)])
        return fresh._replace(position=position)

    def _fold_locked(self, connection: Connection, view: View, built: Checkpoint, batch: EventBatch) -> Checkpoint:
        folded = fold(connection, view, batch)
        _raise_poison(folded.poison)
        view.table.write(connection, folded.change)
        return built._replace(position=folded.upto)

    def _building(self, connection: Connection) -> Checkpoint:
        standing = positions.building(connection, self._projection.name)
        if standing is None:
            raise Unavailable(
                f"another rebuild of view {self._projection.name!r} ended first: there is nothing left to do"
            )
        return standing


def _raise_poison(poison: PoisonEvent | None) -> None:
    if poison is not None:
        raise poison
