"""The rules of sending a signal to a saga: from its state to the event to record, or to the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ...domain.errors import InvalidInput
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.approval import has_approved
from ...domain.saga.equality import same_value
from ...domain.saga.event_parts import WaitKind
from ...domain.saga.events import SignalReceived
from ...domain.saga.payload import write_payload
from ...domain.saga.signals import (
    SIGNAL_BYTES_OPEN_MAX,
    SIGNALS_OPEN_MAX,
    Share,
    approvals_in_words,
    received,
    shares,
)
from ...domain.saga.state import SagaState
from ...domain.saga.step_state import FAILED, WAITING
from ...domain.saga.waits import expected_waits
from ..errors import SagaConflict, WrongState
from .app import App

KEY_CHARACTERS_MAX = 200


class NewSignal(Struct, frozen=True):
    """A signal to be sent: to the first step that waits for its name, or to one step alone."""

    name: str | None
    """None: the one that the step waits for."""
    step: str | None
    payload: Any
    """As the sender gave it: how it is written depends on the type that the definition declares."""
    actor: str
    reason: str | None
    refused: bool
    key: str | None

    @classmethod
    def of(
        cls,
        payload: Any,
        *,
        name: str | None = None,
        step: str | None = None,
        actor: str,
        reason: str | None,
        refused: bool,
        key: str | None,
    ) -> NewSignal:
        """A signal, checked as far as that needs no saga.

        Raises `InvalidInput` for what is no text, for a refusal without a reason and for a key that is none.
        """
        what = f"signal {name!r}" if step is None else f"step {step!r}"
        for field, text in (("name", name or step), ("actor", actor), ("reason", reason or "")):
            if not isinstance(text, str):
                raise InvalidInput(f"the {field} of {what} is {text!r}: use a text")
        if refused and not (reason or "").strip():
            raise InvalidInput(f"the refusal of {what} has no reason: say why, it stays on record")
        _check_key(key, what)
        return cls(name, step, payload, actor, reason, refused, key)

    def event(self, app: App, state: SagaState, at: datetime) -> SignalReceived:
        """Returns the event that records the signal, if the saga takes it.

        Raises `NotSerialisable`, `PayloadTooLarge`, and `InvalidInput` for a payload that does not fit the definition
        (if the app has it).
        """
        name = self.name or "" if self.step is None else _signal_of(app, state, self.step)
        definition = app.find_definition(state.definition, state.definition_version)
        check = None if definition is None or self.refused else definition.signal_checks.get(name)
        if check is None:
            what = f"the payload of signal {name!r}" if self.step is None else f"the payload for step {self.step!r}"
            payload = write_payload(what, self.payload)
        else:
            steps = " or ".join(map(repr, check.steps)) if self.step is None else repr(self.step)
            what = f"the payload of signal {name!r} for step {steps} of saga {state.saga_id!r}"
            payload = check.write(self.payload, what)
        event = SignalReceived(at, name, payload, self.actor, self.reason, self.refused, self.step, self.key)
        if check is not None:
            check.check_size(received(event, 0), what)
        return event

    def rule(self, app: App, state: SagaState, at: datetime) -> SignalReceived:
        """Returns the event that records the signal.

        Raises what `event` raises, and `WrongState` if the saga takes no signal, or the step not this one.
        """
        event = self.event(app, state, at)
        if self.step is not None:
            _check_awaited(app, state, self.step, event)
        _check_room(state, event)
        return event

    def earlier(self, app: App, recorded: Sequence[RecordedEvent], state: SagaState, at: datetime) -> int | None:
        """Returns the position of the signal that was recorded with this key; None if there is none.

        Every signal of the saga is looked at, however long ago it came. Raises `SagaConflict` if it is another signal.
        """
        if self.key is None:
            return None
        for each in recorded:
            known = each.event
            if isinstance(known, SignalReceived) and known.key == self.key:
                if not _is_same(known, self.event(app, state, at)):
                    raise SagaConflict(
                        f"the key {self.key!r} belongs to another signal of saga {state.saga_id!r}, at position "
                        f"{each.position}: to send that one again, repeat its name, step, payload, actor and reason; "
                        "give a new signal a key of its own"
                    )
                return each.position
        return None


def _check_key(key: object, what: str) -> None:
    is_text = isinstance(key, str) and key.isprintable() and 0 < len(key) <= KEY_CHARACTERS_MAX
    if key is not None and not is_text:
        raise InvalidInput(f"the key {key!r} of {what} must be 1 to {KEY_CHARACTERS_MAX} printable characters")


def _is_same(known: SignalReceived, new: SignalReceived) -> bool:
    if not same_value(known.payload, new.payload):
        return False
    return replace(known, at=new.at, payload=new.payload) == new


def _check_room(state: SagaState, event: SignalReceived) -> None:
    """Raise `WrongState` if the saga has ended or keeps too many signals that no step has taken."""
    if state.end is not None:
        raise WrongState(f"saga {state.saga_id!r} takes no signal: it is {state.status}")
    open_signals = [signal for queue in state.signals.values() for signal in queue]
    size_bytes = received(event, 0).size_bytes + sum(signal.size_bytes for signal in open_signals)
    if len(open_signals) >= SIGNALS_OPEN_MAX or size_bytes > SIGNAL_BYTES_OPEN_MAX:
        raise WrongState(
            f"saga {state.saga_id!r} takes no signal: it keeps {len(open_signals):,} that no step has taken, of "
            f"{SIGNALS_OPEN_MAX:,} (and {SIGNAL_BYTES_OPEN_MAX:,} bytes) that it may; send one when a step waits for it"
        )


def _check_awaited(app: App, state: SagaState, step: str, event: SignalReceived) -> None:
    """Raise `WrongState` if a step takes this signal not, or not any more."""
    progress = state.step(step).forward
    definition = app.find_definition(state.definition, state.definition_version)
    expected = {} if definition is None else expected_waits(definition, state, event.at)
    share = shares(state, event.name, expected).get(step)
    wait = progress.wait if progress.progress is WAITING else None
    why_not = None
    if wait is not None and wait.due_at is not None and wait.due_at < event.at:
        why_not = f"its time ended at {wait.due_at.isoformat()}"
    elif share is not None and share.is_settled:
        why_not = _settled(event.name, share)
    elif progress.finished or progress.progress is FAILED or state.compensating or state.end is not None:
        why_not = f"the saga is {state.status}"
    if why_not is not None:
        raise WrongState(f"step {step!r} of saga {state.saga_id!r} does not wait any more: {why_not}")
    if share is not None and not event.refused:
        _check_actor(state, step, event.actor, share)


def _settled(name: str, share: Share) -> str:
    if share.wait.approvals is None or share.is_refused:
        return f"signal {name!r} came before"
    return f"it has its approvals, {approvals_in_words(share.wait, share.approvals)}"


def _check_actor(state: SagaState, step: str, actor: str, share: Share) -> None:
    """Raise `WrongState` for an actor who may not approve, or has approved."""
    where = f"step {step!r} of saga {state.saga_id!r}"
    if actor in share.wait.excluded:
        why = f"{actor!r} started the saga" if actor == state.started_by else f"the definition excludes {actor!r}"
        raise WrongState(f"{where} needs the approval of another actor: {why}")
    if has_approved(actor, share.approvals):
        given = approvals_in_words(share.wait, share.approvals)
        raise WrongState(f"{where} needs the approval of another actor: {actor!r} has approved it ({given})")


def _signal_of(app: App, state: SagaState, step: str) -> str:
    """Return the signal that a step waits for: the recorded one if it waits now, else the one of its definition."""
    wait = state.step(step).forward.wait
    if wait is not None and wait.kind is WaitKind.SIGNAL and wait.target is not None:
        return wait.target
    definition = app.definition(state.definition, state.definition_version)
    waits = definition.signals
    if step not in waits:
        known = f"those that do are {sorted(waits)}" if waits else "none of its steps does"
        raise WrongState(f"step {step!r} of {definition.name!r} waits for no signal: {known}")
    return waits[step]
