"""A sealed saga definition: what decisions and the worker go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from ..errors import DefinitionError, InvalidInput, NotSerialisable
from ..participant import Command
from .equality import same_value
from .fingerprint import fingerprint, first_fingerprint, structure_of
from .item_names import split_item_name
from .search import SearchFunctions
from .signal_check import checks_of
from .state import SagaState
from .step import AnyStep
from .step_kind import ForEach, Local, Signal, saga_id_of
from .stored_type import decoder_of
from .validation import check_compensations, closure, dependencies, ordered

DefinitionSupplier: TypeAlias = "Callable[[], Definition]"
"""Returns the sealed definition of a saga, which may still be open while another saga declares it as a step."""


class Definition:
    """A sealed saga definition: its steps in order, its input's type, and its hooks."""

    def __init__(
        self,
        name: str,
        version: int,
        input_type: Any,
        declared: Sequence[AnyStep],
        *,
        key: Callable[[Any], str] | None = None,
        deadline: float | None = None,
        started: Callable[[Any], Sequence[Command]] | None = None,
        completed: Callable[[Any], Sequence[Command]] | None = None,
        compensated: Callable[[Any, str], Sequence[Command]] | None = None,
        sub_sagas: Mapping[str, DefinitionSupplier] | None = None,
        search: SearchFunctions | None = None,
    ) -> None:
        """Raises `DefinitionError`, which says what to change, if the saga cannot work.

        - `declared`: the steps in the order of declaration;
        - `sub_sagas`: for each step that is a saga of its own, where that saga's definition comes from.
        """
        after = dependencies(name, declared)
        steps = ordered(name, declared, after)
        check_compensations(name, steps, after)
        for step in steps:
            step.seal()
        self.name = name
        self.version = version
        self.input_type = input_type
        self.key = key
        self.deadline = deadline
        self.search = search or {}
        self.started = started
        self.completed = completed
        self.compensated = compensated
        self.steps = tuple(steps)
        self.after = dict(after)
        self.order = tuple((step, step.name, frozenset(self.after[step.name])) for step in steps)
        """Each step, its name, and the steps that come directly before it; all of these come earlier in the order."""
        self._by_name = {step.name: step for step in steps}
        self._lists = frozenset(step.name for step in steps if isinstance(step.kind, ForEach))
        self.completed_name = self._free_name("on_completed")
        """The name under which a person decides about `completed` if it fails; no step has it."""
        self.compensated_name = self._free_name("on_compensated")
        self.pivot = next((step.name for step in steps if step.pivot), None)
        self.dependents = closure(self.after)
        self.signals = {step.name: step.kind.name for step in steps if isinstance(step.kind, Signal)}
        """For each step that waits for a signal, the name of that signal."""
        waits = {step.name: step.kind for step in steps if isinstance(step.kind, Signal)}
        self.signal_checks = checks_of(name, waits)
        """For each signal whose payload has to be of a type, or to fit into a list of approvals: its check."""
        self.excludes_requester = frozenset(step for step, kind in waits.items() if kind.exclude_requester)
        """The steps that the actor who started the saga may not approve."""
        self.approvals = sum(kind.approvals or 0 for kind in waits.values())
        """How many approvals its steps need together."""
        self.has_local_steps = any(isinstance(step.kind, Local) for step in steps)
        self._sub_sagas = dict(sub_sagas or {})
        self.has_sub_sagas = bool(self._sub_sagas)
        self._input = decoder_of(self.input_type, f"the input of saga {name!r} version {version}")
        parts = (name, version, self.steps, self.after, input_type)
        self.structure = structure_of(*parts)
        """What it means for its sagas, as canonical JSON; recorded with the fingerprint."""
        self.fingerprint = fingerprint(self.structure)
        """The fingerprint that is recorded when the first saga starts."""
        self.fingerprints = frozenset({self.fingerprint, first_fingerprint(*parts)})
        """The fingerprints that are this definition's if they are on record."""

    def step(self, name: str) -> AnyStep:
        """Returns the step with this name, or of an item with this name. Raises `DefinitionError` if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            item = split_item_name(name)
            if item is not None and item[0] in self._lists:
                return self._by_name[item[0]]
            raise DefinitionError(
                f"saga {self.name!r} version {self.version} has no step {name!r}: its steps are {list(self._by_name)}"
            ) from None

    def sub_saga(self, step: str) -> Definition:
        """Returns the definition of the saga that a step starts. Raises `DefinitionError` if the step starts none."""
        supplier = self._sub_sagas.get(step)
        if supplier is None:
            raise DefinitionError(f"step {step!r} of saga {self.name!r} is not a saga of its own")
        return supplier()

    def needs_requester(self) -> bool:
        """Whether a saga of this definition, or a saga that is a step of it, has to know who started it."""
        if not self._sub_sagas:
            return bool(self.excludes_requester)
        seen: dict[str, Definition] = {}
        pending = [self]
        while pending:
            each = pending.pop()
            if each.excludes_requester:
                return True
            if f"{each.name} {each.version}" not in seen:
                seen[f"{each.name} {each.version}"] = each
                pending += [supplier() for supplier in each._sub_sagas.values()]
        return False

    def saga_id(self, key: str) -> str:
        """Returns the id of the saga with this business key."""
        return saga_id_of(self.name, key)

    def write_input(self, value: Any) -> Raw:
        """Returns an input as JSON that reads as the declared type.

        Raises `InvalidInput` if it does not fit that type, or has a field that the type lacks, and `PayloadTooLarge`.
        """
        what = f"the input of saga {self.name!r} version {self.version}"
        try:
            return self._input.accept(what, value)
        except (msgspec.MsgspecError, NotSerialisable, TypeError, ValueError) as error:
            raise InvalidInput(f"{what} does not fit: {error}") from error

    def read_input(self, raw: Raw) -> Any:
        """Returns a recorded input, as its type. Raises `InvalidInput` if it does not fit the declared type."""
        try:
            return self._input.decode(raw)
        except msgspec.DecodeError as error:
            raise InvalidInput(
                f"the input of saga {self.name!r} version {self.version} does not fit: {error}"
            ) from error

    def read_argument(self, state: SagaState, step: str) -> Any:
        """Returns what a step takes first: the saga's input, or the item of that name. Raises `InvalidInput`."""
        item = state.item(step) if state.items else None
        if item is None:
            return self.read_input(state.input)
        try:
            return self._by_name[item[0]].read_item(state.items[item[0]].values[item[1]])
        except msgspec.DecodeError as error:
            raise InvalidInput(f"the item {step} of saga {self.name!r} does not fit: {error}") from error

    def same_input(self, one: Raw, other: Raw) -> bool:
        """Whether two recorded inputs are the same value, in whatever order its sets and objects were written."""
        if bytes(one) == bytes(other):
            return True
        try:
            return same_value(self._input.decode(one), self._input.decode(other))
        except Exception:  # noqa: BLE001 -- recorded with another version of the type, whose code may raise anything
            return same_value(msgspec.json.decode(one), msgspec.json.decode(other))

    def read_result(self, step: str, raw: Raw) -> Any:
        """Returns the recorded result of a step, as the type that its action declares."""
        return self.step(step).read_result(raw)

    def _free_name(self, name: str) -> str:
        """Returns a name that no step has: this one, unless a step is named like it."""
        while name in self._by_name:
            name += "()"
        return name
