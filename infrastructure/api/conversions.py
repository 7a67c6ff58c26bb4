"""From what the ledger returns to the messages of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ..ledger.documents import event_document
from ..ledger.saga_history import HistoryEntry
from .answers import EventAnswer

M = TypeVar("M", bound=Struct)


def of_row(row: Mapping[str, Any], message: type[M]) -> M:
    """Return the message that a row of a view becomes; columns that the message has not are left out."""
    return msgspec.convert({name: row[name] for name in message.__struct_fields__ if name in row}, message)


def event(entry: HistoryEntry) -> EventAnswer:
    """Return an event as the API answers with it."""
    document = event_document(entry)
    return msgspec.convert(document | {"meta": plain(document["meta"]), "data": plain(document["data"])}, EventAnswer)


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))
