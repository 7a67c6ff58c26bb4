"""An application: the sagas, participants, services, projections and events that a ledger is opened with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ...domain.choreography.choreography import Choreography, process_name
from ...domain.choreography.dead_letter import DEAD_LETTERS
from ...domain.choreography.derived_saga import ConformanceViolation
from ...domain.choreography.service import SKIPPED_STEPS, Service
from ...domain.errors import DefinitionError
from ...domain.event import Event, Registry
from ...domain.participant import UUID_CATEGORY, Command, Participant
from ...domain.saga.definition import Definition
from ...domain.saga.events import SAGA_EVENTS
from ...domain.saga.saga import Saga
from ...domain.saga.step_kind import SubSaga
from ...domain.schedule.decide import SCHEDULE_CATALOG, SCHEDULES
from ...projections.choreography import CHOREOGRAPHY_PROJECTIONS
from ...projections.projection import Projection
from ...projections.saga import SAGA_PROJECTIONS
from ...projections.saga.saga_attributes import search_projection
from ...projections.schedule import SCHEDULE_PROJECTIONS
from ..errors import UnknownDefinition
from .schedule import Schedule

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class App:
    """What a ledger can run, decide and project; the views of sagas are always among the projections.

    Sagas that are steps of the given ones are registered with them.

    Raises `DefinitionError` if two parts claim the same name, or a saga cannot work as defined.
    """

    def __init__(
        self,
        *,
        sagas: Iterable[Saga[Any]] = (),
        participants: Iterable[Participant[Any]] = (),
        services: Iterable[Service] = (),
        projections: Iterable[Projection] = (),
        events: Iterable[type[Event]] = (),
        schedules: Iterable[Schedule] = (),
    ) -> None:
        self.registry = Registry(SAGA_EVENTS)
        self._definitions: dict[tuple[str, int], Definition] = {}
        self._newest: dict[str, int] = {}
        """The latest version of each definition."""
        self._participants: dict[str, Participant[Any]] = {}
        self._by_command: dict[type[Command], Participant[Any]] = {}
        self._projections: dict[str, Projection] = {}
        self._choreographies: dict[str, Choreography] = {}
        self.services: dict[str, Service] = {}
        for saga in sagas:
            self._add_saga(saga.definition)
        for definition in self.definitions:
            self._add_sub_sagas(definition)
        for participant in participants:
            self._add_participant(participant)
        for service in services:
            self._add_service(service)
        if self.services:
            self._add_participant(SKIPPED_STEPS)
            self._add_participant(DEAD_LETTERS)
            self.registry.add(ConformanceViolation)
        for type_ in events:
            self.registry.add(type_)
        choreography = CHOREOGRAPHY_PROJECTIONS if self.services else ()
        self._schedules: dict[str, Schedule] = {}
        for schedule in schedules:
            self._add_schedule(schedule)
        scheduled = SCHEDULE_PROJECTIONS if self._schedules else ()
        attributes = search_projection(self.definitions)
        searched = () if attributes is None else (attributes,)
        for projection in (*SAGA_PROJECTIONS, *searched, *choreography, *scheduled, *projections):
            self._add_projection(projection)
        if self._schedules or not self._has_names_of_schedules():
            self._add_participant(SCHEDULES)
            self._add_participant(SCHEDULE_CATALOG)

    @property
    def definitions(self) -> Sequence[Definition]:
        """Every saga definition, by name and version."""
        return [self._definitions[key] for key in sorted(self._definitions)]

    @property
    def projections(self) -> Sequence[Projection]:
        """Every projection, the views of sagas first."""
        return list(self._projections.values())

    @property
    def schedules(self) -> Sequence[Schedule]:
        """Every schedule, by name."""
        return [self._schedules[name] for name in sorted(self._schedules)]

    def definition(self, name: str, version: int | None = None) -> Definition:
        """A saga definition, of the newest version unless one is given.

        Raises `UnknownDefinition`, which says what there is.
        """
        wanted = self._newest.get(name, 0) if version is None else version
        definition = self.find_definition(name, wanted)
        if definition is not None:
            return definition
        versions = sorted(v for n, v in self._definitions if n == name)
        if not versions:
            known = ", ".join(sorted({n for n, _ in self._definitions}))
            has = f"it has {known}" if known else "it has none"
            raise UnknownDefinition(
                f"no saga {name!r} is registered with the app in use, {has}: name the app that defines it with "
                "--app module:object (--app shop is the online shop)"
            )
        raise UnknownDefinition(f"saga {name!r} has no version {wanted} registered: it has {versions}")

    def find_definition(self, name: str, version: int) -> Definition | None:
        """The definition of this version of a saga; None if the app has none."""
        return self._definitions.get((name, version))

    @property
    def choreographies(self) -> Sequence[Choreography]:
        """Every choreography in which a service takes part."""
        return [self._choreographies[name] for name in sorted(self._choreographies)]

    def choreography_of(self, correlation_id: str) -> Choreography | None:
        """The choreography whose process a correlation id names; None if it names no process."""
        return self._choreographies.get(process_name(correlation_id))

    def participant_for(self, command: Command) -> Participant[Any]:
        """The participant that takes a command. Raises `DefinitionError` if none does."""
        try:
            return self._by_command[type(command)]
        except KeyError:
            raise DefinitionError(
                f"no participant takes {type(command).__qualname__}: register the one that does with the app"
            ) from None

    def participant_of(self, stream_id: str) -> Participant[Any] | None:
        """The participant whose stream this is, if any."""
        found = self._participants.get(stream_id.partition("-")[0])
        return found or (self._participants.get(UUID_CATEGORY) if _UUID.fullmatch(stream_id) else None)

    def _add_saga(self, definition: Definition) -> None:
        key = (definition.name, definition.version)
        if key in self._definitions:
            raise DefinitionError(f"saga {key[0]!r} version {key[1]} is registered twice: raise one's version")
        self._definitions[key] = definition
        self._newest[definition.name] = max(definition.version, self._newest.get(definition.name, 0))

    def _add_sub_sagas(self, definition: Definition) -> None:
        """Register the sagas that are steps of a saga, and theirs, unless the app registers them itself."""
        for step in definition.steps:
            if not isinstance(step.kind, SubSaga):
                continue
            nested = definition.sub_saga(step.name)
            registered = self._definitions.get((nested.name, nested.version))
            if registered is None:
                self._add_saga(nested)
                self._add_sub_sagas(nested)
            elif registered is not nested:
                raise DefinitionError(
                    f"step {step.name!r} of saga {definition.name!r} is saga {nested.name!r} version {nested.version}, "
                    "and another saga is registered under that name and version: raise one's version"
                )

    def _add_schedule(self, schedule: Schedule) -> None:
        if schedule.name in self._schedules:
            raise DefinitionError(f"two schedules are named {schedule.name!r}: rename one")
        definition = schedule.saga.definition
        registered = self._definitions.get((definition.name, definition.version))
        if registered is not definition:
            other = "another saga" if registered is not None else "no saga"
            raise DefinitionError(
                f"schedule {schedule.name!r} starts saga {definition.name!r} version {definition.version}, and {other} "
                "is registered under that name and version: register its saga with App(sagas=[…])"
            )
        schedule.check_input()
        self._schedules[schedule.name] = schedule

    def _has_names_of_schedules(self) -> bool:
        """Whether the app itself uses the names of the streams or of the events of schedules."""
        own = (SCHEDULES, SCHEDULE_CATALOG)
        categories = {*self._participants, *self._choreographies, *(name for name, _ in self._definitions)}
        return any(
            each.category in categories or any(type_.schema.name in self.registry for type_ in each.events)
            for each in own
        )

    def _add_participant(self, participant: Participant[Any]) -> None:
        category = participant.category
        if category in self._participants or any(name == category for name, _ in self._definitions):
            raise DefinitionError(f"two parts of the app write streams {category!r}-…: rename one")
        self._participants[category] = participant
        for type_ in participant.events:
            self.registry.add(type_)
        for command in participant.commands:
            if command in self._by_command:
                raise DefinitionError(f"two participants take {command.__qualname__}: each command goes to one")
            self._by_command[command] = participant

    def _add_service(self, service: Service) -> None:
        if service.name in self.services:
            raise DefinitionError(f"two services are named {service.name!r}: rename one")
        self.services[service.name] = service
        for choreography in service.choreographies:
            if self._choreographies.setdefault(choreography.name, choreography) is not choreography:
                raise DefinitionError(f"two choreographies are named {choreography.name!r}: rename one")
            if choreography.name in self._participants or any(
                name == choreography.name for name, _ in self._definitions
            ):
                raise DefinitionError(f"two parts of the app write streams {choreography.name!r}-…: rename one")

    def _add_projection(self, projection: Projection) -> None:
        if projection.name in self._projections:
            raise DefinitionError(f"two projections are named {projection.name!r}: rename one")
        self._projections[projection.name] = projection
