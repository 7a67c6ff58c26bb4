"""Succession: a projector builds its versions of views beside the older ones, and has them succeed those."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import inf
from time import monotonic

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ...projections.poison_event import PoisonEvent
from ...projections.projection import Projection
from ...projections.view_version import is_older
from ..errors import PermanentlyUnavailable, Unavailable
from ..event_store.backend import Backend
from ..event_store.codec import Codec
from ..event_store.view_store import first_line
from . import checkpoints
from .apply_batch import View
from .event_batch import EventBatchReader
from .generations import begin_beside, may_begin
from .process_coverage import find_uncovered_process, folds_sagas
from .rebuild import is_far_behind, publish

LOOK_SECONDS = 5.0
"""How long it waits before it looks again at a generation that could not have its view's name."""
_WAIT_BRIEFLY = text("SET LOCAL lock_timeout = '1s'")
"""A rename waits for those who read the table, and while it waits, every new reader of the table waits for it."""

_logger = logging.getLogger(__name__)


class Succession:
    """Begins generations of newer versions, and gives them the names of their views, for one projector."""

    def __init__(self, backend: Backend, codec: Codec) -> None:
        self._backend = backend
        self._codec = codec
        self._look_at: dict[str, float] = {}
        """When to look again whether a generation can have its view's name, by the name of its table."""

    def begin(self, projections: Sequence[Projection]) -> None:
        """Create a table beside each view that an older version made, for the version that is declared here.

        A view that this process cannot build is left as it is: the app lacks a choreography, or its role a right.
        """
        with self._backend.views.reading() as connection:
            recorded = checkpoints.read_current(connection)
        newer = [projection for projection in projections if may_begin(recorded, projection)]
        if any(folds_sagas(projection) for projection in newer):
            uncovered = find_uncovered_process(self._backend, self._codec)
            if uncovered is not None:
                _logger.warning("views of sagas are not built: %s needs its choreography", uncovered)
                newer = [projection for projection in newer if not folds_sagas(projection)]
        for projection in newer:
            try:
                if begin_beside(self._backend.views, projection):
                    _logger.info("version %d of view %r is being built", projection.version, projection.name)
            except PermanentlyUnavailable as error:
                _logger.warning(
                    "version %d of view %r is not built by this process (`sagaledger init` with its app does it): %s",
                    projection.version,
                    projection.name,
                    error,
                )

    def publish(self, view: View) -> None:
        """Give the view's name to a generation beside it, if that is newer and has come as far.

        If that cannot be done now, it is tried again later, or by the next worker if a person must act before; the
        generation is followed meanwhile.
        """
        name, beside = view.projection.name, view.table.name
        if monotonic() < self._look_at.get(beside, 0.0):
            return
        with self._backend.views.reading() as connection:
            recorded = checkpoints.read_current(connection)
        public, own = recorded.get(name), recorded.get(beside)
        if public is None or own is None or not is_older(public.version, own.version):
            self._look_at[beside] = monotonic() + LOOK_SECONDS  # it was set aside, and stays there unless a person acts
            return
        if is_far_behind(own, public):
            return
        reader = EventBatchReader(self._backend, self._codec, view.projection.topics)
        try:
            with self._backend.views.writing() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(_WAIT_BRIEFLY)
                published = publish(connection, reader, view)
        except (Unavailable, DBAPIError) as error:
            needs_a_person = isinstance(error, PermanentlyUnavailable | DBAPIError)
            self._look_at[beside] = monotonic() + (inf if needs_a_person else LOOK_SECONDS)
            _logger.warning(
                "view %r is not replaced by its version %d yet (%s): %s",
                name,
                view.projection.version,
                "the next worker that starts tries again" if needs_a_person else "it is tried again soon",
                first_line(error),
            )
        except PoisonEvent:
            return  # the projector stops the generation in front of that event
        else:
            if published:
                _logger.info(
                    "table %r is now version %d of the view, which was %r", name, view.projection.version, beside
                )
