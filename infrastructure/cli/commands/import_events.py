"""`import`: events of other stores, taken over into the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Annotated, Any

from cyclopts import App, Parameter

from ...eventsourcing.source import EventSource, OriginatorIds
from ...eventsourcing.store_import import StoreComparison, StoreImport, compare_store, import_store
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import Block, answer, say
from ..output.progress import progress
from ..output.table import Table
from ..output.text import counted
from ..session import actor_or_user, open_ledger, open_or_create, shown_database
from ..usage import UsageError

NAME_CHARACTERS_MAX = 200

app = App(name="import")


@app.command(name="eventsourcing")
def import_eventsourcing(
    url: str,
    /,
    *,
    table: Annotated[
        str | None,
        Parameter(help="The table of events: TABLE or SCHEMA.TABLE [default: the only one that the database has]."),
    ] = None,
    ids: Annotated[
        OriginatorIds | None,
        Parameter(help="What aggregates are called by in a SQLite file [default: UUIDs, if every id may be one]."),
    ] = None,
    name: Annotated[
        str | None, Parameter(help="What the events name as their source [default: DATABASE.TABLE].")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Compare only, and write nothing.", negative="")] = False,
    actor: Annotated[str | None, Parameter(help="Who imports them [default: the user of this shell].")] = None,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Take over every event of an application of the eventsourcing library that the ledger lacks.

    It reads the source and does not write there. Run again, it goes on where it stopped, also after it was killed.

    Parameters
    ----------
    url
        The store of the application: sqlite:///FILE or postgresql://…, as its recorders made it.
    """
    if name is not None and not (name.isprintable() and 0 < len(name) <= NAME_CHARACTERS_MAX):
        raise UsageError(f"--name needs 1 to {NAME_CHARACTERS_MAX} printable characters")
    with closing(EventSource(url, table, ids)) as source:
        called = name or _printable(f"{source.database_name}.{source.table_name}"[:NAME_CHARACTERS_MAX])
        if dry_run:
            with open_ledger(options) as ledger:
                found = compare_store(source, ledger.backend)
            document = _document(called, source, found, found, 0) | {"dry_run": True}
        else:
            with open_or_create(options) as ledger, progress("importing") as report:
                done = import_store(source, ledger.backend, name=called, actor=actor_or_user(actor), report=report)
            document = _document(called, source, done.before, done.after, done.imported) | _positions(done)
    answer(options, document, lambda: _report(document))
    if document["missing"] and not dry_run:
        say(f"the source got {counted(document['missing'], 'more event')} meanwhile: run it again")
    elif not dry_run and not options.json:
        say(f"every aggregate of {source.shown_url} is complete and equal in {shown_database(options)}")
    return ExitCode.OK


def _printable(name: str) -> str:
    """Return a name of a file or a database as one that can be recorded."""
    return "".join(character if character.isprintable() else "?" for character in name)


def _document(
    called: str, source: EventSource, before: StoreComparison, after: StoreComparison, imported: int
) -> dict[str, Any]:
    return {
        "source": called,
        "table": source.table_name,
        "events_read": after.events,
        "aggregates": after.aggregates,
        "already_there": before.already_there,
        "imported": imported,
        "missing": after.missing,
        "dry_run": False,
    }


def _positions(done: StoreImport) -> dict[str, Any]:
    return {"first_position": done.first_position, "last_position": done.last_position}


def _report(document: dict[str, Any]) -> Iterable[Block]:
    rows = [(name.replace("_", " "), value) for name, value in document.items() if name != "dry_run"]
    yield Table(("", "dry run" if document["dry_run"] else "import"), rows)
