"""The error of a projection that cannot fold an event, and how errors of users' code are described in views."""

from __future__ import annotations

from ..domain.errors import SagaledgerError
from ..domain.user_code import shown
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
    text = shown(error)
    text = storable_text(text if len(text) <= CAUSE_CHARACTERS_MAX else f"{text[:CAUSE_CHARACTERS_MAX]} …")
    return text if issubclass(type(error), SagaledgerError) else f"{type(error).__name__}: {text}"
