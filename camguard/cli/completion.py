"""`camguard completion SHELL`: prints the script with which a shell completes verbs, options and files."""

from __future__ import annotations

import argparse
from pathlib import Path

from camguard.cli.output import complain, write
from camguard.cli.parser import Parser
from camguard.exit_codes import Exit

SHELLS = ("bash", "zsh", "fish")


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `completion`."""
    parser = verbs.add_parser(
        "completion",
        help="print the script with which bash, zsh or fish completes verbs, options and files",
        description="Print the script with which a shell completes verbs, options and files. It needs the "
        "extra `completion`; the script itself needs nothing.",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Print the script."""
    try:
        import shtab  # noqa: PLC0415 - every other verb runs without the extra
    except ModuleNotFoundError:
        complain(
            "shtab is not installed, and completion needs it. Install the extra `completion` of the "
            "distribution camguard-gateway, from its wheel or from a source folder: "
            "pip install '.[completion]'"
        )
        return Exit.UNEXPECTED
    top: Parser = args.parser
    for parser in top.tree():
        parser.description = None  # a menu of verbs shows the short help instead
        for argument in parser.arguments():
            if argument.type is Path:
                folder = argument.metavar == "DIR"
                argument.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(top, shell=args.shell)
    write(script.splitlines())
    return Exit.OK
