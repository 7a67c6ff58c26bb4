"""The values of users as the log keeps them: inputs, results and payloads of signals, each as JSON.

A value that is written can be read again as what it was. One bound holds for all of them, so that a payload that is
accepted as a signal fits into the event that ends the step, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from .. import json_numbers
from ..errors import NotSerialisable, PayloadTooLarge
from .model_json import model_json
from .read_back import is_read_back

PAYLOAD_BYTES_MAX: Final = 252 * 1024
"""The most bytes of one value: 4 KB less than the state of an event may have, for the other fields of its event."""
DEPTH_MAX: Final = 200
"""The most arrays and objects within each other: a deeper value could be written, and not be read everywhere."""

NULL: Final = Raw(b"null")

_decode_any = msgspec.json.Decoder().decode
_encode_any = msgspec.json.Encoder(enc_hook=model_json).encode


def write_payload(
    what: str,
    value: Any,
    read: Callable[[Raw], Any] = _decode_any,
    *,
    typed: bool | None = None,
    encode: Callable[[Any], bytes] = _encode_any,
) -> Raw:
    """Returns a value as JSON that `read` takes.

    Raises `NotSerialisable` for a value that is not JSON or has a number that JSON lacks (NaN, infinity), or that
    `read` refuses or loses a part of, and `PayloadTooLarge`. Both name `what` it is. `typed`: as for `is_read_back`, if
    `read` reads a declared type.
    """
    raw = NULL if value is None else _encode(what, value, encode)
    try:
        back = read(raw)
        is_kept = typed is None or is_read_back(back, value, typed=typed)
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotSerialisable(f"{what} is a {type(value).__name__} that cannot be read back: {error}") from error
    if not is_kept:
        raise NotSerialisable(f"{what} is a {type(value).__name__} that would be read back as another value than it is")
    return raw


def _encode(what: str, value: Any, encode: Callable[[Any], bytes]) -> Raw:
    try:
        written = encode(value)
        if json_numbers.may_stand_for_one(written) and json_numbers.is_within(value):
            raise NotSerialisable(f"{what} has a number that JSON lacks (NaN or infinity): use null, or a text")
        if _is_too_deep(written):
            raise NotSerialisable(f"{what} has more than {DEPTH_MAX} arrays and objects within each other: flatten it")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotSerialisable(f"{what} is a {type(value).__name__} that is not JSON: {error}") from error
    if len(written) > PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge(what, len(written), PAYLOAD_BYTES_MAX)
    return Raw(written)


def _is_too_deep(written: bytes) -> bool:
    opened = written.count(b"[") + written.count(b"{") if len(written) > 2 * DEPTH_MAX else 0
    return opened > DEPTH_MAX and _depth(_decode_any(written)) > DEPTH_MAX


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while nests := [part for part in level if isinstance(part, (list, dict))]:
        level = [inner for nest in nests for inner in (nest.values() if isinstance(nest, dict) else nest)]
        depth += 1
    return depth
