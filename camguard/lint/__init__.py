"""What is doubtful in policies that load, and in how they are attached: findings with a code and a place.

Loaded for an activation and by the command line only, never on the path of a call.
"""

from camguard.lint.catalog_view import CatalogView
from camguard.lint.check_attachments import lint_attachments
from camguard.lint.codes import CODES, Code, Finding, Severity, found
from camguard.lint.run import errors, lint
from camguard.lint.statement_view import Supplies

__all__ = [
    "CODES",
    "CatalogView",
    "Code",
    "Finding",
    "Severity",
    "Supplies",
    "errors",
    "found",
    "lint",
    "lint_attachments",
]
