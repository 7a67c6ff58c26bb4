"""Models of pydantic's as JSON where no type is declared: by the names of fields, and only if nothing is lost."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Raw

from ..pydantic_fields import is_model
from .read_back import same_parts

READ: Final = {"by_name": True, "by_alias": True}
"""How pydantic reads what is stored, and what is given."""
WRITTEN: Final = {"by_alias": False, "round_trip": True, "warnings": "error"}
"""How pydantic writes what is stored."""

_ERRORS_SHOWN_MAX: Final = 3
_MISMATCH: Final = re.compile(
    r"Expected `(?P<expected>[^`]+)`.*?\[(field_name=(?P<field>'[^']*'), )?input_value=.*?input_type=(?P<type>\w+)\]",
    re.DOTALL,
)
"""How pydantic says that a value is not of the type that it writes."""


def model_json(value: Any) -> Raw:
    """Returns a model as JSON. Raises `TypeError` for anything else, and for one of which a part would be lost."""
    type_: Any = type(value)
    if not is_model(type_):
        raise TypeError(f"Encoding objects of type {type_.__name__} is unsupported")
    try:
        written = type_.__pydantic_serializer__.to_json(value, **WRITTEN)
        read = type_.__pydantic_validator__.validate_json(written, **READ)
    except ValueError as error:
        raise TypeError(f"{type_.__name__} cannot be read back: {shown(error)}") from error
    if not same_parts(read, value):
        raise TypeError(f"a part of {type_.__name__} would be lost")
    return Raw(written)


def shown(error: ValueError) -> str:
    """Returns an error of pydantic's in one line, without the values of users."""
    if hasattr(error, "errors"):
        each = error.errors(include_url=False, include_context=False, include_input=False)
        said = [f"{one['msg']} - at `{_path(one['loc'])}`" for one in each[:_ERRORS_SHOWN_MAX]]
        return "; ".join(said) + (f"; and {len(each) - len(said)} more" if len(each) > len(said) else "")
    if (match := _MISMATCH.search(str(error))) is None:
        return str(error).partition("\n")[0]
    field = f" - in field {match['field']}" if match["field"] else ""
    return f"Expected `{match['expected']}`, got `{match['type']}`{field}"


def _path(parts: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
