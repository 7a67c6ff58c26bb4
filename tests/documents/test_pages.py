"""Every block of every page is run as it stands, or says why it is not."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from .page import NOT_RUN, PAGES, ROOT, Page
from .run_page import PageRun, updated

READ = {page.name: page for page in map(Page.of, PAGES)}
FOLLOWED_ELSEWHERE = {"README.md"}
"""See `test_readme.py`: there each command is a process that nothing prepared, as in `make tutorial`."""
NOT_RUN_HERE = {
    "docs/how-to/docker-and-systemd.md": {"machine": 1, "server": 1},
    "docs/how-to/flask.md": {"server": 1},
    "docs/how-to/reading-views.md": {"server": 2},
    "docs/observability.md": {"server": 1},
    "docs/operating.md": {"fragment": 3},
    "docs/performance.md": {"slow": 2},
    "docs/sagas.md": {"fragment": 2},
    "docs/tutorial.md": {"machine": 1},
    "examples/fastapi_shop/README.md": {"server": 2},
}
"""How many blocks of a page are not run, by the kind of reason. A block that can be run is: a number only falls."""
RUN_ELSEWHERE = {
    "docs/audit-questions.md": {"tests/audit/test_sql_questions.py": 1},
    "docs/how-to/alembic.md": {"tests/acceptance/test_alembic.py": 1},
    "docs/how-to/backup.md": {"tests/guides/test_backup.py": 3, "tests/guides/test_point_in_time.py": 4},
    "docs/how-to/celery.md": {"tests/guides/test_celery.py": 2},
    "docs/how-to/pgbouncer.md": {"tests/guides/test_pgbouncer.py": 2},
    "docs/how-to/reading-views.md": {"tests/guides/test_reading_views.py": 5},
    "docs/how-to/roles.md": {"tests/guarantees/test_roles.py": 1},
    "docs/eventsourcing.md": {
        "tests/acceptance/test_eventsourcing_page.py": 6,
        "tests/eventsourcing/test_store_import.py": 2,
    },
    "docs/how-to/upgrades.md": {"tests/guides/test_upgrades.py": 1},
    "examples/fastapi_shop/README.md": {"tests/examples/test_fastapi_shop.py": 1},
    "docs/command-line.md": {"tests/cli/test_screens.py": 3},
}

pytestmark = pytest.mark.xdist_group("documents")


@pytest.mark.parametrize(
    "name", [name for name, page in READ.items() if page.blocks and name not in FOLLOWED_ELSEWHERE]
)
def test_a_page_prints_what_it_says(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """`python -m tests.documents --update PAGE` writes what is printed into the page."""
    page = READ[name]
    url = request.getfixturevalue("empty_schema_url") if page.postgresql else None
    run = PageRun(page, tmp_path, postgresql=url)

    run.run()

    assert not run.mismatches, "\n\n".join(map(str, run.mismatches))


def test_the_blocks_that_are_not_run_are_known() -> None:
    """By page and kind, so that they do not become more unnoticed."""
    found = {
        name: dict(Counter(b.markers["not run"].partition(":")[0] for b in page.blocks if "not run" in b.markers))
        for name, page in READ.items()
    }

    assert {name: kinds for name, kinds in found.items() if kinds} == NOT_RUN_HERE


def test_the_blocks_that_other_tests_run_are_known() -> None:
    """And these tests exist."""
    found = {
        name: dict(Counter(b.markers["run by"] for b in page.blocks if "run by" in b.markers))
        for name, page in READ.items()
    }

    assert {name: tests for name, tests in found.items() if tests} == RUN_ELSEWHERE
    assert [test for tests in RUN_ELSEWHERE.values() for test in tests if not (ROOT / test).exists()] == []


def test_a_block_that_is_not_run_says_why() -> None:
    """A kind alone is no reason."""
    page = Page.parse("page", f"<!-- not run: {next(iter(NOT_RUN))}: it ends with no result -->\n\n```sh\nfalse\n```\n")

    assert [block.markers["not run"] for block in page.blocks] == ["fragment: it ends with no result"]
    with pytest.raises(ValueError, match=r"page:4: 'not run' needs one of \['fragment', .*\], a colon and the reason"):
        Page.parse("page", "<!-- not run: it is late -->\n\n```sh\nfalse\n```\n")
    with pytest.raises(ValueError, match=r"page:4: no comment above a block is called \['not rum'\]"):
        Page.parse("page", "<!-- not rum: slow: x -->\n\n```sh\nfalse\n```\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\n1 / 0\n```", "ZeroDivisionError"),
        ("```python\nimport sagaledger\nsagaledger.Saga('s').definition\n```", "page:2: exit code 1"),
        ("Save this as `test_it.py`:\n\n```python\ndef test_it():\n    assert 1 == 2\n```", "assert 1 == 2"),
        ("```sh\nsagaledger show nothing\n```", "page:2: sagaledger show nothing: exit code 5"),
        ("```console\n$ sagaledger show nothing\n```", "exit code 5"),
        ("```console\n$ true | false\n```", "exit code 1"),
        ("```json\n{\n```", None),
        ("```ruby\nputs 1\n```", "a block of 'ruby' is not run"),
        ("```sql\nSELECT 1\n```", "a block of 'sql' is not run"),
    ],
)
def test_a_block_that_fails_is_found(text: str, error: str | None, tmp_path: Path) -> None:
    """Whatever its kind."""
    with pytest.raises(AssertionError if error else ValueError, match=error and error.replace("(", r"\(")):
        PageRun(Page.parse("page", text), tmp_path).run()


def test_what_is_printed_otherwise_is_found_and_can_be_written(tmp_path: Path) -> None:
    """By a program, by a file and by a command."""
    text = """```python
print("one")
```

```text
two
```

Save this as `three.py`:

```python
print("three")
```

```text
three
```

```console
$ echo four; sleep 0
five
$ echo 2026-03-01 02:17:05 7
2025-12-31 …
```
"""
    page = Page.parse("page", text)
    run = PageRun(page, tmp_path)

    run.run()

    assert [(m.block.line, m.expected, m.printed) for m in run.mismatches] == [
        (6, "two\n", "one\n"),
        (20, "five\n", "four\n"),
    ]
    assert updated(page, run.mismatches) == text.replace("two", "one").replace("five", "four")


def test_the_comparison_is_dated_and_says_of_each_peer_where_it_is_better() -> None:
    """And of sagaledger, with sources."""
    text = READ["docs/comparison.md"].text
    _, _, *peers, _ = text.split("\n## ")

    assert re.search(r"^As of \*\*\d+ \w+ 20\d\d\*\*\.", text, re.MULTILINE)
    assert len(peers) == 7
    for peer in peers:
        others, _, ours = peer.partition("**Where sagaledger is better.**")
        assert re.search(r"\*\*Where (\w+|the library alone) is better\.\*\*", others), peer
        assert "](https://" in others
        assert ours.strip()
