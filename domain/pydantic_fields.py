"""The fields of pydantic's models, for code that does not know whether pydantic is installed.

A class says itself that it is a model. Pydantic is never imported: where there is a model, its program has done so.
"""

from __future__ import annotations

from typing import Any


def is_model(type_: Any) -> bool:
    """Whether a type is a model or a dataclass of pydantic's."""
    return isinstance(type_, type) and hasattr(type_, "__pydantic_validator__")


def fields_of_model(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a model by name, without its private attributes; None for anything else."""
    names = getattr(type(value), "__pydantic_fields__", None)
    if names is None:
        return None
    given = value.__dict__
    return {name: given[name] for name in names if name in given} | (getattr(value, "__pydantic_extra__", None) or {})
