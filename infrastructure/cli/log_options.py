"""The options of the commands that work until they are stopped: which log they write to stderr, and in which form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from cyclopts import Group, Parameter

from . import settings
from .logs import show_logs
from .usage import UsageError

LOGS = Group("Options of the log", sort_key=90)

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


@Parameter(name="*", group=LOGS)
@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The options of the log."""

    log_format: Annotated[
        LogFormat | None,
        Parameter(help="Text for a terminal, or JSON, one object a line [default: $SAGALEDGER_LOG_FORMAT or text]."),
    ] = None
    log_level: Annotated[
        LogLevel | None,
        Parameter(
            help="The least level that is shown [default: $SAGALEDGER_LOG_LEVEL, or info for a worker and warning "
            "for other commands]."
        ),
    ] = None

    @property
    def environment(self) -> dict[str, str]:
        """The same options for a process that this one starts."""
        given = {"SAGALEDGER_LOG_FORMAT": self.log_format, "SAGALEDGER_LOG_LEVEL": self.log_level}
        return {name: value for name, value in given.items() if value is not None}

    def apply(self, default_level: LogLevel) -> None:
        """Show the log from here on. Raises `UsageError` for a variable of the environment that has no such value."""
        form = self.log_format or _of_environment("SAGALEDGER_LOG_FORMAT", settings.log_format(), get_args(LogFormat))
        level = self.log_level or _of_environment("SAGALEDGER_LOG_LEVEL", settings.log_level(), get_args(LogLevel))
        show_logs(level or default_level, as_json=form == "json")


DEFAULT_LOGS = LogOptions()


def _of_environment(name: str, value: str | None, known: tuple[str, ...]) -> str | None:
    if value is None or value in known:
        return value
    raise UsageError(f"{name}={value!r}: use one of {', '.join(known)}")
