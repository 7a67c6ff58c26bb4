"""The versions of definitions on a screen, with the steps of each below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ....domain.saga.definition import Definition
from ....domain.saga.step import AnyStep
from ....domain.saga.step_kind import ForEach
from ...ledger.definition_usage import VersionStatus, VersionUsage
from .elapsed import elapsed
from .screen import Line, wrapped
from .screen_table import table_lines
from .table import Table

THEN, BESIDE = " → ", " ∥ "
MARKS: Final = {"*": "pivot", "?": "condition", "[]": "list", "∥": "side by side"}


def definitions_screen(versions: Sequence[VersionUsage], width: int) -> Iterator[Line]:
    """Yield the lines of the screen."""
    if not versions:
        yield Line("no definition")
        return
    columns = ("DEFINITION", "VERSION", "STATE", "UNFINISHED", "SAGAS", "FINGERPRINT")
    notes = {at: _notes(version.registered) for at, version in enumerate(versions) if version.registered is not None}
    styles = {at: "red" for at, version in enumerate(versions) if version.status is not VersionStatus.REGISTERED}
    table = Table(columns, [_cells(version) for version in versions], styles, notes=notes)
    yield from table_lines(table, width, condensed=False)
    used = "".join(note for told in notes.values() for note in told)
    if legend := ", ".join(f"{mark} {word}" for mark, word in MARKS.items() if mark in used):
        yield Line("")
        yield from wrapped(legend, width, style="dim")


def marked(step: AnyStep) -> str:
    """Return a step's name: `book[]` of a step over a list, `wrap?` of one with a condition, `pay*` of the pivot."""
    is_list = isinstance(step.kind, ForEach)
    return f"{step.name}{'[]' * is_list}{'?' * (step.condition is not None)}{'*' * step.pivot}"


def _cells(version: VersionUsage) -> tuple[object, ...]:
    return (
        version.name,
        version.version,
        version.status.replace("_", " "),
        version.unfinished,
        version.sagas,
        version.fingerprint or version.recorded_fingerprint,
    )


def _notes(definition: Definition) -> list[str]:
    notes = [_in_order(definition)]
    if definition.deadline is not None:
        notes.append(f"deadline {elapsed(definition.deadline)}")
    return notes


def _in_order(definition: Definition) -> str:
    """Return the steps in their order: those in one pair of brackets run side by side, each after all before it.

    Steps whose order has another form are each followed by those that they come after.
    """
    stages: list[list[AnyStep]] = []
    for step in definition.steps:
        after = set(definition.after[step.name])
        if stages and after == {each for one in stages[-1] for each in definition.after[one.name]}:
            stages[-1].append(step)
        elif after == ({each.name for each in stages[-1]} if stages else set()):
            stages.append([step])
        else:
            return ", ".join(_with_predecessors(definition, each) for each in definition.steps)
    return THEN.join(f"({BESIDE.join(map(marked, stage))})" if len(stage) > 1 else marked(stage[0]) for stage in stages)


def _with_predecessors(definition: Definition, step: AnyStep) -> str:
    after = definition.after[step.name]
    return f"{marked(step)} after {' and '.join(after)}" if after else marked(step)
