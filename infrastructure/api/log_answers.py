"""The messages of the API about the log, decisions, and the server itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from .answers import EventAnswer, PageAnswer


class LogPage(Struct, kw_only=True):
    """Events of the log, in order."""

    head_position: int
    events: list[EventAnswer]
    next: str | None


class LogHead(Struct, kw_only=True):
    """The end of the log."""

    position: int
    hash: str
    """The hash over everything up to there, in hexadecimal."""
    recorded_at: datetime | None


class DecisionAnswer(Struct, kw_only=True):
    """Who decided what about a saga, and why."""

    saga_id: str
    version: int
    position: int
    decided_at: datetime
    action: str
    step: str | None
    direction: str | None
    signal: str | None
    actor: str
    reason: str | None


class DecisionDetail(DecisionAnswer, kw_only=True):
    """A decision, with the state of the saga that preceded it."""

    saw: dict[str, Any] | None


class DecisionList(PageAnswer, kw_only=True):
    """A page of decisions, the latest first."""

    decisions: list[DecisionDetail]


class MeAnswer(Struct, kw_only=True):
    """Who asks."""

    name: str
    role: str
    read_only: bool
    """Whether the server only reads."""
    version: str
    """The version of sagaledger."""


class Alive(Struct):
    """The server answers."""

    status: str


class Readiness(Struct, kw_only=True):
    """Whether the server can do its work, and what keeps it from that."""

    ready: bool
    problems: list[str]
