"""What is doubtful in policies that load, and in how they are attached: findings with a code and a place.

Loaded for an activation and by the command line only, never on the path of a call.
"""

from camguard.lint.catalog_view import CatalogView
from camguard.lint.check_attachments import lint_attachments
from camguard.lint.codes import CODES, Code, Finding, Severity, found
from camguard.lint.granting_nothing import GrantsNothing, granting_nothing, table
from camguard.lint.run import errors, lint

__all__ = [
    "CODES",
    "CatalogView",
    "Code",
    "Finding",
    "GrantsNothing",
    "Severity",
    "errors",
    "found",
    "granting_nothing",
    "lint",
    "lint_attachments",
    "table",
]
