"""The exit codes of camguard's processes: of the command line, and of the workers that it starts."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes. Each has one meaning for every verb. 2 is that of argparse too; 7 is not used."""

    OK = 0  # for `check`: the call is allowed
    UNEXPECTED = 1
    USAGE = 2
    INVALID = 3  # settings, catalog, bundle, or a file of policy tests
    TESTS_FAILED = 4
    FINDINGS = 5
    DENY = 6
    CHANGED = 8
