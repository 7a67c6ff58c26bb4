"""Definitions as JSON documents: those of the command line and of the HTTP API."""

from __future__ import annotations

from typing import Any

from ...domain.saga.definition import Definition
from ...domain.saga.step_kind import ForEach
from ...domain.saga.stored_type import json_schema_of
from .definition_usage import VersionUsage


def version_document(version: VersionUsage) -> dict[str, Any]:
    """Return a version of a definition, and how many sagas it still holds."""
    return {
        "definition": version.name,
        "version": version.version,
        "state": version.status,
        "fingerprint": version.fingerprint,
        "recorded_fingerprint": version.recorded_fingerprint,
        "unfinished": version.unfinished,
        "sagas": version.sagas,
        **({} if version.registered is None else structure_document(version.registered)),
    }


def structure_document(definition: Definition) -> dict[str, Any]:
    """Return what a definition says of its steps and its input."""
    return {
        "deadline_seconds": definition.deadline,
        "steps": [
            {
                "step": step.name,
                "after": list(definition.after[step.name]),
                "pivot": step.pivot,
                **step.kind.structure,
                **step.kind.target,
                **({"parallel": step.kind.parallel} if isinstance(step.kind, ForEach) else {}),
                "conditional": step.condition is not None,
                "compensated": step.undo is not None,
                "attempts_max": step.retry.default.attempts,
                "attempts_max_by_error": {type_.__name__: retry.attempts for type_, retry in step.retry.by_type},
                "timeout_seconds": step.timeout,
                "heartbeat_timeout_seconds": step.heartbeat_timeout,
            }
            for step in definition.steps
        ],
        "input": json_schema_of(definition.input_type),
    }
