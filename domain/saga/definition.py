"""A sealed saga definition: what decisions and the worker go by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from ..errors import DefinitionError, InvalidInput
from .events import WaitKind
from .step import Step
from .validation import check_compensations, closure, dependencies, ordered

if TYPE_CHECKING:
    from .saga import Saga


class Definition:
    """A sealed saga definition: what `decide` and the worker go by."""

    def __init__(self, saga: Saga[Any], declared: Sequence[Step]) -> None:
        """Raises `DefinitionError`, saying what to change, if the saga cannot work."""
        after = dependencies(saga.name, declared)
        steps = ordered(saga.name, declared, after)
        check_compensations(saga.name, steps, after)
        for step in steps:
            step.seal()
        self.name = saga.name
        self.version = saga.version
        self.input_type = saga.input_type
        self.key = saga.key
        self.deadline = saga.deadline
        self.started = saga.started
        self.completed = saga.completed
        self.compensated = saga.compensated
        self.steps = tuple(steps)
        self.after = dict(after)
        self.order = tuple((step, step.name, frozenset(self.after[step.name])) for step in steps)
        """Each step, its name and what it comes after; it stands after all of that."""
        self._by_name = {step.name: step for step in steps}
        self.pivot = next((step.name for step in steps if step.pivot), None)
        self.dependents = closure(self.after)
        self.nests = any(step.waiting is not None and step.waiting.kind is WaitKind.SAGA for step in steps)
        """Whether a step is a saga of its own."""
        self.has_local_steps = any(step.local for step in steps)
        self._decoder = msgspec.json.Decoder(self.input_type)
        self.fingerprint = self._fingerprint()

    def step(self, name: str) -> Step:
        """The step of that name. Raises `DefinitionError` if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise DefinitionError(
                f"saga {self.name!r} version {self.version} has no step {name!r}: its steps are {list(self._by_name)}"
            ) from None

    def saga_id(self, key: str) -> str:
        """The id of the saga with this business key."""
        return f"{self.name}-{key}"

    def write_input(self, value: Any) -> Raw:
        """An input as canonical JSON. Raises `InvalidInput` if it does not fit the declared type."""
        try:
            return Raw(msgspec.json.encode(self._decoder.decode(msgspec.json.encode(value))))
        except (msgspec.ValidationError, msgspec.MsgspecError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"the input of saga {self.name!r} version {self.version} does not fit: {error}"
            ) from error

    def read_input(self, raw: Raw) -> Any:
        """A recorded input, as its type. Raises `InvalidInput` if it does not fit the declared type."""
        try:
            return self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise InvalidInput(
                f"the input of saga {self.name!r} version {self.version} does not fit: {error}"
            ) from error

    def _fingerprint(self) -> str:
        """A hash of the structure and the input's schema; tuning of retries and timeouts does not change it."""
        try:
            schema: Any = msgspec.json.schema(self.input_type)
        except TypeError:
            schema = str(self.input_type)
        structure = [
            {
                "step": step.name,
                "after": sorted(self.after[step.name]),
                "pivot": step.pivot,
                "local": step.local,
                "compensated": step.undo is not None,
                "waits_for": None if step.waiting is None else step.waiting.kind,
            }
            for step in self.steps
        ]
        document = {"saga": self.name, "version": self.version, "steps": structure, "input": schema}
        return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()[:16]
