"""The error of a projection that cannot fold an event, and how errors of users' code are described in views."""

from __future__ import annotations

import threading

from ..domain.errors import SagaledgerError
from .column_values import storable_text

CAUSE_CHARACTERS_MAX = 1_000
"""The most characters of an error's text that the cause of a `PoisonEvent` repeats."""


class PoisonEvent(SagaledgerError):
    """An event cannot be folded into a view, which therefore stops before that event."""

    def __init__(self, projection: str, position: int, topic: str, cause: str) -> None:
        super().__init__(
            f"projection {projection!r} cannot fold event {position} ({topic}): {cause}; it stopped after "
            f"position {position - 1}: correct the code that fails, then start a worker or rebuild the view"
        )
        self.projection = projection
        self.position = position
        self.topic = topic
        self.cause = cause


def describe(error: BaseException) -> str:
    """Returns the kind of an error and its text, as a view can store them; also of one whose text cannot be made."""
    try:
        text = str(error)
    except BaseException as another:
        if is_interruption(another):
            raise
        text = f"(its text cannot be shown: {type(another).__name__})"
    text = storable_text(text if len(text) <= CAUSE_CHARACTERS_MAX else f"{text[:CAUSE_CHARACTERS_MAX]} …")
    return text if isinstance(error, SagaledgerError) else f"{type(error).__name__}: {text}"


def is_interruption(error: BaseException) -> bool:
    """Whether a person ends the program with it: such an error is not that of the code in which it is raised."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
