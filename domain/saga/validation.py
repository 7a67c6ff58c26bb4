"""Checks that the steps of a saga can work together: their order, and how each can be undone.

A saga that cannot work is refused at its first use, with an error that says what to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, TypeAlias

from ..errors import DefinitionError
from .functions import is_async
from .item_names import split_item_name
from .step import AnyStep
from .step_kind import ForEach

After: TypeAlias = Mapping[str, tuple[str, ...]]
"""For each step, the steps that come directly before it."""
Closure: TypeAlias = Mapping[str, frozenset[str]]
"""For each step, every step that comes after it, directly or indirectly."""


NAME_CHARACTERS_MAX: Final = 200
"""The longest name of a saga, a step or a signal: it is part of ids, and of every event of the step."""


def check_name(name: Any, what: str) -> None:
    """Raise `DefinitionError` unless a name is printable and not too long."""
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > NAME_CHARACTERS_MAX:
        raise DefinitionError(f"{what} must have a name of 1 to {NAME_CHARACTERS_MAX} printable characters: {name!r}")


def dependencies(saga_name: str, steps: Sequence[AnyStep]) -> dict[str, tuple[str, ...]]:
    """Returns the steps that come directly before each step; by default the one declared before it."""
    if not steps:
        raise DefinitionError(f"saga {saga_name!r} has no steps: declare at least one with @{saga_name}.step()")
    names = {step.name for step in steps}
    after: dict[str, tuple[str, ...]] = {}
    previous: tuple[str, ...] = ()
    for step in steps:
        after[step.name] = previous if step.after is None else step.after
        for unknown in set(after[step.name]) - names:
            raise DefinitionError(
                f"saga {saga_name!r}: step {step.name!r} comes after {unknown!r}, which is not a step: "
                f"use one of {sorted(names)}"
            )
        previous = (step.name,)
    return after


def ordered(saga_name: str, steps: Sequence[AnyStep], after: After) -> list[AnyStep]:
    """Returns the steps in an order that respects `after`, and otherwise in the order of declaration."""
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise DefinitionError(
            f"saga {saga_name!r}: its steps wait for each other in a circle ({circle}): remove one `after`"
        ) from error
    done: set[str] = set()
    found: list[AnyStep] = []
    while len(found) < len(steps):
        step = next(s for s in steps if s.name not in done and done.issuperset(after[s.name]))
        done.add(step.name)
        found.append(step)
    return found


def check_compensations(saga_name: str, steps: Sequence[AnyStep], after: After) -> None:
    """Raise `DefinitionError` unless each step before the pivot can be undone, and no later step has a compensation."""
    pivots = [step.name for step in steps if step.pivot]
    if len(pivots) > 1:
        raise DefinitionError(f"saga {saga_name!r} has the pivots {pivots}: keep one")
    beyond = closure(after)[pivots[0]] if pivots else frozenset[str]()
    lists = {step.name for step in steps if isinstance(step.kind, ForEach)}
    for step in steps:
        item = split_item_name(step.name)
        if item is not None and item[0] in lists:
            raise DefinitionError(f"saga {saga_name!r}: {step.name!r} is the name of an item of {item[0]!r}: rename it")
        final = step.pivot or step.name in beyond
        where = f"saga {saga_name!r}: step {step.name!r}"
        if step.undo is not None and final:
            raise DefinitionError(f"{where} is never undone (it is the pivot or after it): remove its compensation")
        if step.undo is not None and not step.compensable:
            raise DefinitionError(
                f"{where} has a compensation, but nothing to undo (compensable=False, or it only waits): remove one"
            )
        if step.kind.plain_functions and is_async(step.undo):
            raise DefinitionError(f"{where} is local: its compensation only returns commands, make it plain")
        if step.undo is None and step.compensable and not final:
            raise DefinitionError(
                f"{where} has no compensation: add @{step.name}.compensation, "
                "or declare compensable=False if there is nothing to undo"
            )
    if pivots:
        _check_parallel_to_pivot(saga_name, steps, closure(after), pivots[0])


def _check_parallel_to_pivot(saga_name: str, steps: Sequence[AnyStep], dependents: Closure, pivot: str) -> None:
    for step in steps:
        if step.name != pivot and step.name not in dependents[pivot] and pivot not in dependents[step.name]:
            raise DefinitionError(
                f"saga {saga_name!r}: step {step.name!r} may run beside the pivot {pivot!r}: "
                "say with `after` whether it comes before or after it"
            )


def closure(after: After) -> Closure:
    """Returns, for each step, every step that comes after it, directly or indirectly."""
    dependents: dict[str, set[str]] = {name: set() for name in after}
    for name in TopologicalSorter(after).static_order():
        reached, frontier = set[str](), list(after[name])
        while frontier:
            earlier = frontier.pop()
            if earlier not in reached:
                reached.add(earlier)
                frontier.extend(after[earlier])
                dependents[earlier].add(name)
    return {name: frozenset(later) for name, later in dependents.items()}
