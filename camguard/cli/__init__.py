"""`camguard VERB …`: one verb is one function from arguments to an exit code.

Rule 1: results go to stdout, everything else to stderr.
Rule 2: what can be expected to go wrong ends in a line that names the place, never in a traceback.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from camguard._version import __version__
from camguard.cli import catalog, check, init, lint, serve, test
from camguard.cli.exit import Exit
from camguard.cli.output import complain
from camguard.errors import CamguardError
from camguard.printable import printable

VERBS = (serve, check, lint, test, catalog, init)


class Parser(argparse.ArgumentParser):
    """A parser that wants options spelt out, so that a new one never changes what an old script means."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        """End with a usage error; what it quotes of the arguments is escaped."""
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of every verb. Each leaves its function in `args.run`."""
    top = Parser(
        prog="camguard", description="CAM policies for Tencent Cloud API 3.0 calls, decided per call."
    )
    top.add_argument("--version", action="version", version=f"camguard {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code (`camguard.cli.exit`). argv: without the program's name."""
    try:
        args = parser().parse_args(argv)
        code = int(args.run(args))
        if sys.stdout is not None:  # closed by whoever started this
            sys.stdout.flush()
    except SystemExit as end:  # argparse, after --help or a usage error
        return end.code if isinstance(end.code, int) else Exit.OK
    except CamguardError as error:
        complain(*map(str, error.problems))
        return Exit.INVALID
    except BrokenPipeError:
        # Whoever read stdout has gone; a second flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.UNEXPECTED
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return Exit.INVALID if error.filename else Exit.UNEXPECTED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def run() -> None:
    """Be the `camguard` command."""
    sys.exit(main())
