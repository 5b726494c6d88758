"""What a verb ends with. 2 is argparse's own; 7 is left free."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, each with one meaning for every verb."""

    OK = 0  # for `check`: allow
    UNEXPECTED = 1
    USAGE = 2
    INVALID = 3  # settings, catalog, bundle, or a file of tests
    TESTS_FAILED = 4
    FINDINGS = 5
    DENY = 6
    CHANGED = 8
