"""Whether the payload of a signal is what the steps that wait for it declare.

A sender that knows the definition checks the payload before it is recorded. Senders that do not know it cannot, so a
worker rejects what does not fit before any step takes it: the result of a step can always be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ..errors import DefinitionError, InvalidInput, NotSerialisable, PayloadTooLarge
from ..user_code import is_interruption
from .approval import Approval
from .error_text import error_text, parts_of, type_name
from .event_parts import Failure
from .events import SignalRejected
from .payload import PAYLOAD_BYTES_MAX
from .state import ReceivedSignal, SagaState
from .step_kind import Signal
from .step_state import WAITING
from .stored_type import StoredType, decoder_of

_ENTRY_OVERHEAD = len(",")


class SignalCheck(Struct, frozen=True):
    """What a payload of the signals of one name has to be."""

    signal: str
    steps: tuple[str, ...]
    """The steps that wait for it."""
    stored_type: StoredType
    approval_bytes_max: int | None
    """The most bytes of an approval in the result of a step; None: no step needs a number of them."""

    def write(self, value: Any, what: str) -> Raw:
        """Returns the payload of a signal as JSON that reads as the declared type.

        Raises `InvalidInput` if it does not fit that type, and `PayloadTooLarge`.
        """
        try:
            return self.stored_type.accept(what, value)
        except (msgspec.MsgspecError, NotSerialisable, TypeError, ValueError) as error:
            raise InvalidInput(f"{what} does not fit: {error}") from error

    def problem(self, signal: ReceivedSignal) -> Failure | None:
        """Returns why no step can take a signal; None if one can."""
        what = f"the payload of signal {self.signal!r}"
        try:
            self.stored_type.decode(signal.payload)
            self.check_size(signal, what)
        except BaseException as error:  # the type is the app's, and its code may raise anything
            if is_interruption(error):
                raise
            return Failure(type_name(error), error_text(error, parts_of(error)))
        return None

    def check_size(self, signal: ReceivedSignal, what: str) -> None:
        """Raise `PayloadTooLarge` for an approval that may not fit into the list of them."""
        if self.approval_bytes_max is not None:
            size = len(msgspec.json.encode(Approval(signal.actor, signal.at, signal.payload, signal.reason)))
            if size + _ENTRY_OVERHEAD > self.approval_bytes_max:
                raise PayloadTooLarge(f"{what}, with its actor and its reason,", size, self.approval_bytes_max)


def checks_of(saga_name: str, waits: Mapping[str, Signal]) -> Mapping[str, SignalCheck]:
    """Returns the checks of the signals that the steps of a definition wait for, by the names of the signals.

    Raises `DefinitionError` if two steps declare different types for one signal: which of them takes it is open.
    """
    steps_of: dict[str, dict[str, Signal]] = {}
    for step, kind in waits.items():
        steps_of.setdefault(kind.name, {})[step] = kind
    checks: dict[str, SignalCheck] = {}
    for name, kinds in steps_of.items():
        (first, kind), *others = kinds.items()
        for other, its in others:
            if its.type != kind.type:
                raise DefinitionError(
                    f"saga {saga_name!r}: steps {first!r} and {other!r} wait for signal {name!r} with different types: "
                    "give both the same type, or signals of their own with `signal=`"
                )
        most = max(its.approvals or 0 for its in kinds.values())
        if kind.type is not Any or most:
            stored_type = decoder_of(kind.type, f"the payload of signal {name!r} of saga {saga_name!r}")
            share = PAYLOAD_BYTES_MAX // most - len("[]") if most else None
            checks[name] = SignalCheck(name, tuple(kinds), stored_type, share)
    return checks


def rejected_signals(checks: Mapping[str, SignalCheck], state: SagaState, now: datetime) -> list[SignalRejected]:
    """Returns the events that reject those open signals that a step now waits for, and that no step could read.

    `checks`: those of the saga's definition.
    """
    rejected: list[SignalRejected] = []
    for name, check in checks.items():
        queue = state.signals.get(name)
        if queue and any(state.step(step).forward.progress is WAITING for step in check.steps):
            for signal in queue:
                problem = None if signal.refused else check.problem(signal)
                if problem is not None:
                    rejected.append(SignalRejected(now, name, signal.version, problem))
    return rejected
