"""The commands, and the module of each, which is imported only when the command is called."""

from __future__ import annotations

from cyclopts import App, Group

WORK = Group.create_ordered("Work")
AUDIT = Group.create_ordered("Audit")
VIEWS = Group.create_ordered("Views")
OPERATE = Group.create_ordered("Operate")
ABOUT = Group.create_ordered("About")

COMMANDS: tuple[tuple[str, Group, str, str], ...] = (
    ("demo", WORK, "demo:demo", "Real orders through their sagas, on a fresh SQLite file; then what to look at."),
    ("init", WORK, "init:init", "Create or upgrade the schema."),
    ("run", WORK, "run:run", "Take a file of orders through their sagas to the end, and report."),
    ("worker", WORK, "worker:worker", "Drive sagas until stopped."),
    ("serve", WORK, "serve:serve", "The HTTP API of the ledger, until stopped."),
    ("start", WORK, "start:start", "Start one saga."),
    ("participants", WORK, "participants:app", "The services of choreographies: how far each is, and running them."),
    ("list", AUDIT, "list:list_sagas", "Sagas, newest first, by status, definition and time."),
    ("show", AUDIT, "show:show", "One saga on one screen: its steps, its cause, and what to do next."),
    ("history", AUDIT, "history:history", "Everything that was recorded of a saga."),
    ("state", AUDIT, "state:state", "A saga's state, rebuilt from its events: now, or at a moment."),
    ("diff", AUDIT, "diff:diff", "What changed in a saga between two moments."),
    ("decisions", AUDIT, "decisions:decisions", "Who decided what, why, and what there was to decide on."),
    ("stats", AUDIT, "stats:stats", "How sagas and their steps went, and the time lost to retries."),
    ("changes", AUDIT, "changes:changes", "What happened in the ledger between two moments."),
    (
        "verify",
        AUDIT,
        "verify:verify_ledger",
        "Check that the log was not edited, and that everything beside it agrees with it.",
    ),
    ("query", VIEWS, "query:query", "Rows of a view."),
    ("sql", VIEWS, "sql:sql", "Any question in SQL, of the views now or at a moment."),
    ("projections", VIEWS, "projections:app", "How far each view is, and rebuilding one."),
    ("cancel", OPERATE, "cancel:cancel", "Ask a saga to compensate its steps."),
    ("intervene", OPERATE, "intervene:intervene", "Decide how a saga that needs a person goes on."),
    ("deadletters", OPERATE, "deadletters:app", "Events that services could not handle, and replaying them."),
    ("signal", OPERATE, "signal:signal", "Send a saga a signal that it waits for, or will wait for."),
    ("approve", OPERATE, "approve:approve", "Approve what a step of a saga waits for."),
    ("refuse", OPERATE, "approve:refuse", "Refuse what a step of a saga waits for."),
    (
        "schedules",
        OPERATE,
        "schedules:app",
        "Sagas that start at the times of a cron expression; pausing and starting them.",
    ),
    ("workers", OPERATE, "workers:workers", "The workers of this ledger, and how many sagas each holds."),
    ("requests", OPERATE, "requests:requests", "Sagas asked for in other programs' transactions, open or refused."),
    ("import", OPERATE, "import_events:app", "Events of other stores, taken over into the ledger."),
    ("check", OPERATE, "check:check", "Compare an app with what the ledger recorded, before it is deployed."),
    ("definitions", ABOUT, "definitions:definitions", "The versions of definitions; how many sagas each holds."),
    ("completion", ABOUT, "completion:completion", "Completion of this command line by bash, zsh or fish."),
    ("version", ABOUT, "version:version", "The version of sagaledger and of its foundations."),
)
"""Name, group, module and function, help."""


def build() -> App:
    """Build the command line."""
    app = App(
        name="sagaledger",
        help="An event-sourced saga store: audit any saga, rebuild its state from events, query the views.",
        help_flags=["--help", "-h"],
        version_flags=["--version"],
        version=_version,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        print_error=False,
        exit_on_error=False,
    )
    for order, (name, group, where, help_) in enumerate(COMMANDS):
        app.command(f"{__package__}.commands.{where}", name=name, help=help_, group=group, sort_key=order)
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("sagaledger")
