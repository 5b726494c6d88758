"""TOML from outside: one reader of settings, tests and acceptances, and one error for whatever is no TOML.

`tomllib` is strict by itself, but raises four kinds of exceptions. A text may begin with a byte order mark.
"""

from __future__ import annotations

import re
import tomllib
from codecs import BOM_UTF8
from itertools import chain
from typing import Any, Final

from camguard.strict_json import MAX_DEPTH

_LINE: Final = re.compile(r"at line ([0-9]+)")

_TOO_DEEP: Final = "is not TOML: values are nested too deeply"
_TOO_LARGE: Final = "is not TOML: a whole number has more than 64 bits"
_MOST: Final = 1 << 63  # TOML 1.0: a whole number has 64 bits


class NotTomlError(ValueError):
    """A text is not TOML. The message completes "the file". line: of the fault; None where unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line

    def place(self, source: str) -> str:
        """Return the place of the fault in a file of this name: `camguard.toml:3`."""
        return source if self.line is None else f"{source}:{self.line}"


def read_toml(raw: bytes) -> dict[str, Any]:
    """Return the document of a text in UTF-8. Raises NotTomlError."""
    try:
        document = tomllib.loads(raw.removeprefix(BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise NotTomlError("is not UTF-8", error.object.count(b"\n", 0, error.start) + 1) from None
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        raise NotTomlError(f"is not TOML: {error}", int(line[1]) if line else None) from None
    except RecursionError:
        raise NotTomlError(_TOO_DEEP) from None
    except ValueError:  # of `int`, which bounds the decimal digits that it reads
        raise NotTomlError(_TOO_LARGE) from None
    _check(document)
    return document


def _check(document: dict[str, Any]) -> None:
    """Raise NotTomlError for a value that code which prints it could not print.

    Dotted keys nest tables without bound, and hexadecimal numbers have any number of digits.
    """
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH + 1):
        if any(isinstance(value, int) and not -_MOST <= value < _MOST for value in level):
            raise NotTomlError(_TOO_LARGE)
        tables = [value.values() for value in level if isinstance(value, dict)]
        level = list(chain(*tables, *(value for value in level if isinstance(value, list))))
    if level:
        raise NotTomlError(_TOO_DEEP)
