"""How a verb speaks: results on stdout, everything else on stderr, colour only where someone looks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import Final, TextIO

from camguard.printable import printable, printable_json

# Stands for ESC until a line is printed. Drawn by each process: a name in the data cannot hold it, and so
# cannot bring escape codes of its own.
_MARK: Final = f"\x1b{token_hex(8)}"
_PRINTED_MARK: Final = printable(_MARK)
STYLES: Final = {"good": "32", "bad": "31", "doubtful": "33", "dim": "2", "strong": "1"}


def add_format(parser: argparse.ArgumentParser, *further: str) -> None:
    """Give a verb `--format`: text, json, and what else it can write."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *further),
        default="text",
        help="how results are written to stdout (default: %(default)s)",
    )


def wants_colour(stream: TextIO | None) -> bool:
    """Whether escape codes help whoever reads `stream`; None: it was closed. Source: no-color.org."""
    return (
        stream is not None
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return `text` in one of STYLES where `stream` (stdout by default) shows colour, else unchanged.

    The result is for `show`, `say`, `complain` and `finished`, which turn the marks into escape codes.
    """
    if not wants_colour(stream or sys.stdout):
        return text
    return f"{_MARK}[{STYLES[style]}m{text}{_MARK}[0m"


def finished(line: str) -> str:
    """Return a line as it is printed: what `paint` coloured is coloured, every other control is escaped."""
    return printable(line).replace(_PRINTED_MARK, "\x1b")


def show(form: str, lines: Iterable[str], document: Mapping[str, object]) -> None:
    """Print a result: its lines for `text`, its document for every other form.

    lines may be a generator; it is not read when the document is wanted.
    """
    if form == "text":
        for line in lines:
            print(finished(line))
    else:
        print(printable_json(json.dumps(document, ensure_ascii=False, indent=2)))


def say(line: str) -> None:
    """Print to stderr one line that is not the result."""
    print(finished(line), file=sys.stderr)


def complain(*lines: str) -> None:
    """Print to stderr what went wrong, each line behind the program's name."""
    for line in lines:
        say(f"{paint('camguard:', 'bad', sys.stderr)} {line}")
