"""`camguard VERB …`: one verb is one function from arguments to an exit code.

Rule 1: results go to stdout, everything else to stderr.
Rule 2: an expected failure ends in a line that names its place, never in a traceback.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from camguard._version import __version__
from camguard.cli import (
    access,
    bundle,
    call,
    catalog,
    check,
    completion,
    config,
    diff,
    front,
    init,
    lint,
    principals,
    reason,
    recorded,
    reduce,
    replay,
    rollback,
    serve,
    test,
)
from camguard.cli.output import OutputError, complain, flush_streams, prepare_streams
from camguard.cli.parser import Parser, UsageError
from camguard.errors import CamguardError
from camguard.exit_codes import Exit

VERBS: tuple[Callable[[argparse._SubParsersAction[Any]], None], ...] = (
    *(serve.add, check.add, lint.add, test.add, reason.add, reason.add_rule, principals.add, call.add),
    access.add,
    *(diff.add, reduce.add, recorded.add, replay.add),
    *(rollback.add, rollback.add_promote),
    *(bundle.add, catalog.add, config.add, front.add, completion.add, init.add),
)


def parser() -> Parser:
    """Return the parser of all verbs, also as `args.parser`. Each verb sets its function as `args.run`."""
    top = Parser(
        prog="camguard", description="CAM policies for Tencent Cloud API 3.0 calls, decided per call."
    )
    top.add_argument("--version", action="version", version=f"camguard {__version__}")
    top.set_defaults(parser=top)
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for add in VERBS:
        add(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code. argv: without the name of the program."""
    prepare_streams()
    try:
        code = _run(argv)
        flush_streams()
    except OutputError as error:
        return _lost(error)
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = parser().parse_args(argv)
        return int(args.run(args))
    except SystemExit as end:  # argparse, after --help or a usage error
        return end.code if isinstance(end.code, int) else Exit.OK
    except UsageError as error:
        complain(*error.args)
        return Exit.USAGE
    except CamguardError as error:
        complain(*map(str, error.problems))
        return Exit.INVALID
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return Exit.INVALID if error.filename else Exit.UNEXPECTED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _lost(error: OutputError) -> Exit:
    """Return the exit code of a verb whose result was not written. A reader that ended needs no message."""
    if not isinstance(error.cause, BrokenPipeError):
        complain(f"the result cannot be written to stdout: {error.cause.strerror}")
    return Exit.UNEXPECTED


def run() -> None:
    """Run the `camguard` command."""
    sys.exit(main())
