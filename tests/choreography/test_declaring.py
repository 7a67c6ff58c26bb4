"""What cannot work, or cannot be stored, is refused when a choreography or a service is declared."""

from __future__ import annotations

from typing import Any

import pytest

from sagaledger import Event, event
from sagaledger.domain.choreography.choreography import Choreography, Stage
from sagaledger.domain.choreography.service import Service
from sagaledger.domain.errors import DefinitionError


@event("DeclaringBegun")
class Begun(Event, frozen=True):
    """A process began."""


@event("DeclaringDone")
class Done(Event, frozen=True):
    """Its stage is done."""


@event("DeclaringEnded")
class Ended(Event, frozen=True):
    """It ended."""


def _choreography(**changes: Any) -> Choreography:
    stage = Stage(changes.pop("stage", "pay"), changes.pop("service", "payment"), Done)
    parts: dict[str, Any] = {
        "name": "flow",
        "version": 1,
        "begins": Begun,
        "stages": [stage],
        "completes": Ended,
        "ending_service": "payment",
        "key": lambda _: "1",
    }
    return Choreography(**{**parts, **changes})


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        *(("name", wrong) for wrong in (None, 5, "", "a-b", "a\nb", "\0", "\ud800", "x" * 201)),
        *(("version", wrong) for wrong in (0, -1, 1.5, True, None, "1", 2**31)),
        *(("stage", wrong) for wrong in (None, 5, "", "a\nb", "\0", "\ud800", "x" * 201)),
        *(("service", wrong) for wrong in (None, 5, "", "a b", "a.b", "\0", "x" * 201)),
        *(
            ("stall_timeout_seconds", wrong)
            for wrong in (0, -1, float("nan"), float("inf"), 1e300, "60", True)
        ),
    ],
)  # fmt: skip
def test_a_choreography_that_not_everything_can_hold_is_refused(part: str, wrong: Any) -> None:
    """Its sagas are rows of views for all sagas: a number that no column takes would stop those."""
    assert _choreography().name == "flow"
    with pytest.raises(DefinitionError):
        _choreography(**{part: wrong})


@pytest.mark.parametrize("wrong", [None, 5, "", "a b", "a.b", "a*", "\0", "\ud800", "x" * 201])
def test_a_service_has_a_name_that_a_broker_takes(wrong: Any) -> None:
    """It is a part of subjects and of consumers' names."""
    with pytest.raises(DefinitionError, match="letters, digits and underscores"):
        Service(wrong)
