"""How `make docs` builds these pages into a site: with Sphinx and MyST, strictly, and without a network.

Sphinx is maintained, checks every link and anchor, reads docstrings, and its search needs no server. (MkDocs has had no
release since 2024.)

The pages are plain Markdown, so that they read well where the repository is shown. What Sphinx needs besides is added
here while it reads them: the navigation, and in `api/` the docstrings of the names that are listed there.
"""

from __future__ import annotations

import inspect
import re
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.domains.python import PyXRefRole
from sphinx.pycode import ModuleAnalyzer

import sagaledger

DOCS = Path(__file__).parent
NAVIGATION = {
    "Learn": ["tutorial", "concepts/README", "glossary", "faq", "comparison"],
    "Do": ["how-to/README", "how-to/*", "sagas", "testing", "choreography", "eventsourcing"],
    "Operate": ["operating", "observability", "backends", "performance"],
    "Look up": ["api/README", "command-line", "views", "*"],
    "Understand": ["architecture", "guarantees", "storage", "decisions/README"],
}
"""The parts of the navigation. A pattern stands for the pages that are not named; a name without a page is left out."""
FOLDERS = ("api", "concepts", "decisions", "how-to")
"""Folders whose `README.md`, if there is one, leads to their other pages."""
LISTED = re.compile(r"^- \[`(\w+)`\]\(\.\./\.\./([^)]+)\.py\)\n", re.MULTILINE)
"""A public name in a page of `api/`, with the file that declares it."""

project = "sagaledger"
release = version = sagaledger.__version__
copyright = ""  # noqa: A001 -- the name that Sphinx reads
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_static"]
html_theme = "furo"
html_title = f"sagaledger {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
nitpicky = False
suppress_warnings = ["myst.header"]  # a page may begin a section with its table
pygments_style = "friendly"
highlight_language = "text"

myst_heading_anchors = 4
myst_links_external_new_tab = False

default_role = "py:name"  # a name in backticks leads to what it names, where that is public
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
autodoc_class_signature = "mixed"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
python_display_short_literal_types = True


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_what_sphinx_needs)
    app.connect("missing-reference", find_public_name)
    app.connect("autodoc-process-signature", leave_out_signature)
    app.connect("autodoc-skip-member", leave_out_undocumented_field)
    app.add_role_to_domain("py", "name", Name())


def add_what_sphinx_needs(_: Any, page: str, source: list[str]) -> None:
    """Add the navigation to the pages that lead to others, and the docstrings to those of the API."""
    if page == "index":
        source[0] += "".join(toctree(pages_of(entries), caption) for caption, entries in NAVIGATION.items())
    folder, _, name = page.partition("/")
    if folder in FOLDERS and name == "README":
        source[0] += toctree(sorted(path.stem for path in (DOCS / folder).glob("*.md") if path.stem != "README"))
    if folder == "api":
        source[0] = LISTED.sub(lambda found: documented(found[1], found[2]), source[0])


def pages_of(entries: list[str]) -> list[str]:
    """The pages that one part of the navigation names, directly or by a pattern."""
    named = {"index", *(entry for entries_ in NAVIGATION.values() for entry in entries_)}
    led = {f"{folder}/" for folder in FOLDERS if (DOCS / folder / "README.md").exists()}
    pages: list[str] = []
    for entry in entries:
        found = sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.glob(f"{entry}.md"))
        if "*" in entry:
            found = [page for page in found if page not in named and not page.startswith(tuple(led))]
        pages += found
    return pages


def toctree(pages: list[str], caption: str | None = None) -> str:
    """The directive that shows these pages in the navigation."""
    if not pages:
        return ""
    lines = [f":caption: {caption}"] if caption else []
    return "\n\n```{toctree}\n" + "\n".join([":hidden:", *lines, "", *pages]) + "\n```\n"


def documented(name: str, file: str) -> str:
    """The directive that shows the docstring of a public name, which this file declares."""
    module = "sagaledger." + file.replace("/", ".")
    home = "sagaledger" if name in sagaledger.__all__ else module
    value = getattr(import_module(home), name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        lines = [f".. {kind}:: {home}.{name}", "   :members:", "   :special-members: __call__"]
        lines += ["   :show-inheritance:"] if kind == "autoexception" else []
        lines += ["   :undoc-members:"] if issubclass(value, Enum) or name == "SagaState" else []
    elif inspect.isfunction(value):
        lines = [f".. autofunction:: {home}.{name}"]
    else:  # a value or a fixture: its docstring stands below it in the source, or is that of its function
        below = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
        text = below or inspect.cleandoc(value.__doc__).split("\n")
        lines = [f".. py:data:: {name}", f"   :module: {home}", "", *(f"   {line}" for line in text)]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```\n\n"


def find_public_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Let the name of a class in the module that declares it lead to the public name."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    for name in (target, target.rpartition(".")[2]):
        if name.partition(".")[0] in sagaledger.__all__:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"sagaledger.{name}", node, content)
    return None


def leave_out_signature(_: Any, what: str, name: str, *about: Any) -> Any:
    """Of what sagaledger makes and users only receive: its errors, and values with a default that has no source."""
    signature = about[2]
    is_error = what == "exception" and signature and name.rpartition(".")[2] not in ("Refused", "RetryAfter")
    return ("", None) if is_error or "<msgspec" in (signature or "") else None


def leave_out_undocumented_field(*about: Any) -> bool | None:
    """A field of a named tuple about which its class says nothing; the signature has it."""
    return True if (getattr(about[3], "__doc__", None) or "").startswith("Alias for field number") else None


class Name(PyXRefRole):
    """A name in backticks, which may have `<` and `>` in it."""

    explicit_title_re = re.compile(r"(?!)")

    def process_link(self, env: Any, refnode: Any, has_title: bool, title: str, target: str) -> tuple[str, str]:
        """Let it be any kind of object."""
        refnode["reftype"] = "obj"
        return super().process_link(env, refnode, has_title, title, target)
