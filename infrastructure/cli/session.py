"""Open the ledger that a command works on, and bring its views up."""

from __future__ import annotations

from pathlib import Path

from ..errors import Unavailable
from ..event_store.redaction import redacted
from ..ledger.ledger import Ledger
from ..runtime.observer import Observer
from ..runtime.user_name import user_name
from . import settings
from .app_loader import load_app
from .logs import show_warnings
from .options import Options
from .output.answer import say
from .output.progress import progress


def open_ledger(options: Options, *, observer: Observer | None = None) -> Ledger:
    """Open the ledger that the options and the environment name; it must exist.

    Raises `AppNotLoaded`, `Unavailable` and `NotALedger`.
    """
    return _open(options, must_exist=True, observer=observer)


def open_or_create(options: Options, *, default_app: str | None = None, observer: Observer | None = None) -> Ledger:
    """Open that ledger for a command that writes: a SQLite file that is absent is created.

    `default_app`: the app to use when neither the options nor the environment name one. `observer`: what learns of all
    that is done. Raises as `open_ledger` does.
    """
    return _open(options, default_app=default_app, observer=observer)


def create_or_upgrade(options: Options) -> Ledger:
    """Open that ledger with the schema and the tables of the app's views created or upgraded first."""
    return _open(options, create=True)


def bring_views_up(ledger: Ledger) -> None:
    """Bring the views up if no worker does, and say why some stay behind."""
    from ..ledger.freshness import catch_up_if_unattended

    reason = catch_up_if_unattended(ledger.context, working=progress)
    if reason is not None:
        say(reason)


def app_name(options: Options) -> str | None:
    """Return the name of the app that the options or the environment name; None without one."""
    return options.app or settings.app()


def database_url(options: Options) -> str:
    """Return the URL of the ledger; it may contain a password."""
    return options.db or settings.database()


def database_files(options: Options) -> list[Path]:
    """Return the files of a SQLite ledger, whether they exist or not; none of another database."""
    from ..event_store.connect import files_of

    return files_of(database_url(options))


def shown_database(options: Options) -> str:
    """Return the URL of the ledger without its secrets."""
    return redacted(database_url(options))


def actor_or_user(actor: str | None) -> str:
    """Return the actor that is recorded for a command: the one named, or else the user of this shell."""
    if actor:
        return actor
    return user_name()


def _open(
    options: Options,
    *,
    create: bool = False,
    must_exist: bool = False,
    default_app: str | None = None,
    observer: Observer | None = None,
) -> Ledger:
    show_warnings()
    app = load_app(app_name(options) or default_app)
    try:
        return Ledger.open(database_url(options), app, create=create, must_exist=must_exist, observer=observer)
    except OSError as error:  # a name that is too long, or a current folder that was removed
        raise Unavailable(
            f"the ledger {shown_database(options)} cannot be opened: {error.strerror or error}; name its file by a "
            "path that exists, sqlite:////absolute/file.db"
        ) from error
