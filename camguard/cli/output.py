"""How a verb speaks: results on stdout, everything else on stderr, colour only where someone looks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Final, TextIO

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
    """Return `text` in one of STYLES where `stream` (stdout by default) shows colour, else unchanged."""
    if not wants_colour(stream or sys.stdout):
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


def show(form: str, lines: Iterable[str], document: Mapping[str, object]) -> None:
    """Print a result: its lines for `text`, its document for every other form.

    lines may be a generator; it is not read when the document is wanted.
    """
    if form == "text":
        for line in lines:
            print(line)
    else:
        print(json.dumps(document, ensure_ascii=False, indent=2))


def say(message: str) -> None:
    """Tell the person something that is not the result."""
    print(message, file=sys.stderr)


def complain(message: str) -> None:
    """Say what went wrong, each line behind the program's name."""
    for line in message.splitlines():
        print(f"{paint('camguard:', 'bad', sys.stderr)} {line}", file=sys.stderr)
