"""`import`: an application's store is taken over, compared first if asked, and refused where it contradicts."""

from __future__ import annotations

from ..eventsourcing.stores import Dog, environment_of, file_url, kennel
from .shell import Shell


def test_a_store_is_compared_taken_over_and_verified(sqlite_shell: Shell) -> None:
    """The counts are those of the source; again, everything is there; the old numbers are found by `history`."""
    store = file_url(sqlite_shell.folder)
    with kennel(environment_of(store)) as application:
        dog = Dog("Fido")
        dog.add_trick("roll over")
        application.save(dog, Dog("Rex"))
    words = ("import", "eventsourcing", store)

    absent = sqlite_shell(*words, "--dry-run")
    assert (absent.returncode, "init" in absent.stderr) == (5, True)
    sqlite_shell("init")
    tried = sqlite_shell.json(*words, "--dry-run")
    assert (tried["events_read"], tried["aggregates"], tried["missing"], tried["imported"]) == (3, 2, 3, 0)
    assert sqlite_shell.json("verify")["events"] == 0

    done = sqlite_shell.json(*words, "--actor", "ann")
    assert (done["source"], done["imported"], done["missing"]) == ("kennel.stored_events", 3, 0)
    again = sqlite_shell(*words)
    assert again.returncode == 0
    assert "every aggregate of" in again.stderr
    assert sqlite_shell.json("verify")["events"] == 3
    events = sqlite_shell.json("history", str(dog.id))["events"]
    assert [
        (each["version"], each["meta"]["actor"], each["meta"]["imported"]["notification_id"]) for each in events
    ] == [
        (1, "ann", 1),
        (2, "ann", 2),
    ]


def test_a_store_that_contradicts_the_ledger_is_refused(sqlite_shell: Shell) -> None:
    """Exit code 4, one line with the place; another table and another file are usage and availability."""
    store = file_url(sqlite_shell.folder)
    with kennel(environment_of(store)) as application:
        application.save(dog := Dog("Fido"))
    sqlite_shell("import", "eventsourcing", store)
    other = f"sqlite:///{sqlite_shell.folder / 'other.db'}"
    with kennel(environment_of(other)) as application:
        changed = Dog("Rex")
        changed._id = dog.id
        (created,) = changed.collect_events()
        object.__setattr__(created, "originator_id", dog.id)
        application.events.put([created])

    refused = sqlite_shell("import", "eventsourcing", other)

    assert (refused.returncode, refused.stdout) == (4, "")
    assert f"aggregate '{dog.id}' version 1, notification 1: the ledger has another event there" in refused.stderr
    assert sqlite_shell("import", "eventsourcing", store, "--table", "none").returncode == 2
    assert sqlite_shell("import", "eventsourcing", "sqlite:///none.db").returncode == 5
    assert sqlite_shell("import", "eventsourcing", store, "--name", "").returncode == 2
