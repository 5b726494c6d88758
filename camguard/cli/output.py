"""Prints what verbs return: results on stdout, everything else on stderr, colours only on a terminal.

Rule: a result is one document of plain values, which JSON shows as it is. Text is rendered from the same
      document, so that both forms tell the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from typing import Any, Final, TextIO, TypeAlias

from camguard.printable import printable, printable_json

Document: TypeAlias = Mapping[str, Any]

# Stands for ESC until a line is printed. Each process draws its own, so that no name in the data can contain
# it and add escape codes.
_MARK: Final = f"\x1b{token_hex(8)}"
_PRINTED_MARK: Final = printable(_MARK)
STYLES: Final = {"good": "32", "bad": "31", "doubtful": "33", "dim": "2", "strong": "1"}


def add_format(parser: argparse.ArgumentParser, *further: str) -> None:
    """Give a verb `--format`. further: forms besides text and json."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *further),
        default="text",
        help="how results are written to stdout (default: %(default)s)",
    )


def wants_colour(stream: TextIO | None) -> bool:
    """Return whether a stream shows colours. stream: None if it was closed. Source: no-color.org."""
    return (
        stream is not None
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return `text` with the marks of one of STYLES if `stream` (stdout by default) shows colours.

    `show`, `note`, `complain` and `finished` turn the marks into escape codes.
    """
    if not wants_colour(stream or sys.stdout):
        return text
    return f"{_MARK}[{STYLES[style]}m{text}{_MARK}[0m"


def finished(line: str) -> str:
    """Return a line as it is printed: marks of `paint` become colours, other controls are escaped."""
    return printable(line).replace(_PRINTED_MARK, "\x1b")


def show(form: str, document: Document, render: Callable[[Document], Iterable[str]]) -> None:
    """Print a result: for `text` the lines that `render` makes of the document, else the document as JSON."""
    if form == "text":
        for line in render(document):
            print(finished(line))
    else:
        print(printable_json(json.dumps(document, ensure_ascii=False, indent=2)))


def note(line: str) -> None:
    """Print to stderr one line that is not part of the result."""
    print(finished(line), file=sys.stderr)


def complain(*lines: str) -> None:
    """Print to stderr what went wrong; each line begins with the name of the program."""
    for line in lines:
        note(f"{paint('camguard:', 'bad', sys.stderr)} {line}")
