"""`init`: create the schema, or upgrade it to this version; on PostgreSQL, give roles their rights."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ...event_store.role_names import DEFAULT_PREFIX, RoleNames
from ...event_store.roles import create_roles, printed_roles, server_of
from ...ledger.freshness import head_position
from ...ledger.view_operations import upgrade_views
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer, say
from ..output.progress import progress
from ..session import create_or_upgrade, database_url, shown_database
from ..usage import UsageError


def init(
    *,
    roles: Annotated[
        bool, Parameter(negative="", help="Also create PostgreSQL's roles for the ledger, and give them their rights.")
    ] = False,
    role_prefix: Annotated[
        str | None, Parameter(help="Their names: PREFIX_owner, _app, _requester, _reader [default: sagaledger].")
    ] = None,
    role: Annotated[
        list[str] | None, Parameter(negative="", help="Another name for one of them: app=shop_backend; repeatable.")
    ] = None,
    print_: Annotated[
        bool, Parameter(name="--print", negative="", help="With --roles: change nothing, and print their SQL.")
    ] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """Create or upgrade the schema, and the app's views. On a ledger that is current it only lets views
    that are stopped try again."""
    names = _role_names(role_prefix, role) if roles else None
    if names is None and (print_ or role or role_prefix is not None):
        raise UsageError("--print, --role and --role-prefix are about roles: add --roles")
    if names is not None:
        server_of(database_url(options))  # a database without roles is refused before anything is created
        if print_:
            script = printed_roles(database_url(options), names)
            answer(options, {"sql": script}, lambda: script.splitlines())
            return ExitCode.OK
    with create_or_upgrade(options) as ledger:
        with progress("upgrading views") as report:
            upgraded = upgrade_views(ledger.context, report)
        head = head_position(ledger.context)
    url = shown_database(options)
    document: dict[str, Any] = {"db": url, "head_position": head, "rebuilt_views": upgraded.rebuilt}
    lines = [f"{url} is ready: its log ends at position {head}"]
    if names is not None:
        create_roles(database_url(options), names)
        document["roles"] = names._asdict()
        lines.append(f"its roles are {', '.join(names)}")
    answer(options, document, lambda: lines)
    if upgraded.rebuilt:
        say(f"rebuilt for this version: {', '.join(upgraded.rebuilt)}")
    if upgraded.remark is not None:
        say(upgraded.remark)
    return ExitCode.OK


def _role_names(prefix: str | None, words: list[str] | None) -> RoleNames:
    others = {}
    for word in words or []:
        role, equals, name = word.partition("=")
        if not equals:
            raise UsageError(f"--role {word}: write which role it is and its name, such as app=shop_backend")
        others[role] = name
    return RoleNames.of(DEFAULT_PREFIX if prefix is None else prefix, others)
