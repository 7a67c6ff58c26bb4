"""Whether the server can do its work now."""

from __future__ import annotations

from typing import Final

from ...domain.errors import SagaledgerError
from ...domain.user_code import shown
from ..ledger.context import LedgerContext

PROBE_SECONDS: Final = 1.0
"""How long the database may take to answer."""


def readiness_problems(context: LedgerContext) -> list[str]:
    """Say what keeps the server from its work: a database that is away, its schema, or changed definitions.

    Views that are behind, and workers that are absent, do not: they are told by metrics and in answers.
    """
    try:
        context.backend.head()
        problems = context.backend.schema_problems()
        context.definition_versions.check(context.app.definitions)
    except SagaledgerError as error:
        return [shown(error)]
    return list(problems)
