"""What is doubtful in policies that load, and in how they are attached: findings with a code and a place.

Loaded for an activation and by the command line only, never on the path of a call.
"""

from camguard.lint.acceptances import Acceptance, Accepted, Findings
from camguard.lint.catalog_view import CatalogView
from camguard.lint.codes import CODES, Code, Finding, Severity, found
from camguard.lint.granting_nothing import GrantsNothing, by_reason, granting_nothing, table
from camguard.lint.run import lint, lint_bundle
from camguard.lint.statement_view import Supplies

__all__ = [
    "CODES",
    "Acceptance",
    "Accepted",
    "CatalogView",
    "Code",
    "Finding",
    "Findings",
    "GrantsNothing",
    "Severity",
    "Supplies",
    "by_reason",
    "found",
    "granting_nothing",
    "lint",
    "lint_bundle",
    "table",
]
