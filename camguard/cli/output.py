"""Prints what verbs return: results on stdout, everything else on stderr, colours only on a terminal.

Rule 1: a result is one document of plain values, which JSON shows as it is behind the number of its schema.
        Text is rendered from the same document, so that both forms show the same.
Rule 2: every character can be printed to every stream. One that the encoding of the stream lacks is escaped.
Rule 3: a result that cannot be written raises OutputError. A line on stderr that cannot be written is lost.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from secrets import token_hex
from shutil import get_terminal_size
from textwrap import TextWrapper
from time import monotonic
from typing import Any, Final, TextIO, TypeAlias, TypeVar

from camguard.printable import printable, printable_json

Document: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

# Stands for ESC until a line is printed. Each process draws its own, so that no name in the data can contain
# it and add escape codes.
_MARK: Final = f"\x1b{token_hex(8)}"
_PRINTED_MARK: Final = printable(_MARK)
# Of every document in JSON. While the number stands, a key is neither removed nor given another type or
# meaning; keys may be added.
SCHEMA: Final = 1
_BAR, _REDRAWN = 30, 0.1  # characters, seconds
STYLES: Final = {"good": "32", "bad": "31", "doubtful": "33", "dim": "2", "strong": "1"}


class OutputError(Exception):
    """A result could not be written to stdout. cause: why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def prepare_streams() -> None:
    """Let stdout and stderr escape the characters that their encodings lack (Rule 2)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Write what is buffered. Raises OutputError if that fails for stdout.

    What a stream could not write is discarded, because Python writes it again when the process ends, and
    would change the exit code.
    """
    with suppress(OSError):
        _flush(sys.stderr)
    try:
        _flush(sys.stdout)
    except OSError as error:
        raise OutputError(error) from None


def _flush(stream: TextIO | None) -> None:
    try:
        if stream is not None:  # the calling process may have closed it
            stream.flush()
    except OSError:
        discard(stream)
        raise


def discard(stream: TextIO | None) -> None:
    """Let a stream write to nowhere from now on, what it has buffered included."""
    with suppress(OSError, ValueError):  # a stream without a descriptor, or a closed one
        if stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def add_format(parser: argparse.ArgumentParser, *further: str, default: str | None = "text") -> None:
    """Give a verb `--format`. further: forms besides text and json. default: the form without the option."""
    parser.add_argument(
        "--format",
        choices=("text", "json", *further),
        default=default,
        help="how results are written to stdout (default: text)",
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


def wrapped(line: str, indent: int) -> list[str]:
    """Return a line without marks as it fits the terminal, or as it is where stdout is no terminal.

    indent: of the lines that follow the first. Words are never cut, so that names can be copied.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return [line]
    filler = TextWrapper(
        width=get_terminal_size().columns,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filler.wrap(printable(line)) or [line]


def finished(line: str) -> str:
    """Return a line as it is printed: marks of `paint` become colours, other controls are escaped."""
    return printable(line).replace(_PRINTED_MARK, "\x1b")


def show(form: str, document: Document, render: Callable[[Document], Iterable[str]]) -> None:
    """Print a result: for `text` the lines that `render` makes of the document, else the document as JSON.

    form: one of the forms of `add_format`. A form of somebody else, such as SARIF, does not have the number
    of camguard's schema. Raises OutputError.
    """
    lines: Iterable[str]
    if form == "text":
        lines = map(finished, render(document))
    else:
        encoding = getattr(sys.stdout, "encoding", None)
        numbered = {"schema": SCHEMA, **document} if form == "json" else document
        lines = [printable_json(json.dumps(numbered, ensure_ascii=False, indent=2), encoding)]
    write(lines)


def write(lines: Iterable[str]) -> None:
    """Print lines to stdout as they are. Raises OutputError."""
    for line in lines:
        try:
            print(line)
        except OSError as error:
            discard(sys.stdout)
            raise OutputError(error) from None


def progress(items: Iterable[T], what: str) -> Iterator[T]:
    """Yield the items, and show on a terminal how far they are once that takes more than a second.

    The bar is on stderr and is erased at the end. Where it is not known how many items there are, the number
    of those that are done is shown without a bar. what: the items, in words.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    total = len(items) if isinstance(items, Sized) else None
    begin = shown = monotonic()
    for at, item in enumerate(items):
        now = monotonic()
        if terminal and now - begin > 1 and now - shown > _REDRAWN:
            shown = now
            bar = "#" * (_BAR * at // total) if total else ""
            _draw(f"\r[{bar:{_BAR}}] {at} of {total} {what}" if total else f"\r{at} {what}")
        yield item
    if shown > begin:
        _draw("\r\x1b[K")


def _draw(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def note(line: str) -> None:
    """Print to stderr one line that is not part of the result."""
    if sys.stderr is None:  # `print` would write to stdout instead
        return
    try:
        print(finished(line), file=sys.stderr)
    except OSError:
        discard(sys.stderr)


def complain(*lines: str) -> None:
    """Print to stderr what went wrong; each line begins with the name of the program."""
    for line in lines:
        note(f"{paint('camguard:', 'bad', sys.stderr)} {line}")
