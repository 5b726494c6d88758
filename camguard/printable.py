"""Makes text from outside safe for terminals and logs: a value cannot add a line or a control sequence.

Rule 1: only this module decides which characters are printed, and how the other ones are spelled.
Rule 2: safe text is returned unchanged, so that ordinary names and paths stay readable.
Rule 3: a character that the encoding of a terminal lacks is spelled like an unsafe one. In text, the error
        handler `backslashreplace` of a stream does so; JSON has escapes of its own.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Control characters (C0, DEL, C1), format characters (bidirectional controls, zero width, tags), lone
# surrogates (in file names that are not UTF-8), line and paragraph separators. Letters, marks and spaces of
# all scripts are safe.
_UNSAFE: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BYTE: Final = 0x100
_PLANE: Final = 0x10000
# Up to the last `@` of the whole text: a password that is not escaped may contain `/`, `?` and `#`.
_URL_USER: Final = re.compile(r"(://).*@", re.DOTALL)
_URL_QUERY: Final = re.compile(r"(://[^?]*)\?.+", re.DOTALL)


def printable(text: str) -> str:
    r"""Return the text on one line, with each unsafe character spelled as Python's `repr` spells it.

    A backslash of the text is not doubled: the result is for people, not for parsers.

    >>> printable("a\nERROR: b\x1b[31m"), printable("日本 \u202e")
    ('a\\nERROR: b\\x1b[31m', '日本 \\u202e')
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_json(document: str, encoding: str | None = None) -> str:
    r"""Return an equal JSON document without unsafe characters other than line breaks between its values.

    encoding: of the stream; a character that it lacks is escaped. None: the stream takes every character.

    >>> printable_json('{"name": "\x7f\u202e"}')
    '{"name": "\\u007f\\u202e"}'
    >>> printable_json('{"name": "é"}', "ascii")
    '{"name": "\\u00e9"}'
    """
    lines = (
        line if line.isprintable() else "".join(_in_json(char) if _unsafe(char) else char for char in line)
        for line in document.split("\n")
    )
    whole = "\n".join(lines)
    if encoding is None or encodable(whole, encoding):
        return whole
    return "".join(char if encodable(char, encoding) else _in_json(char) for char in whole)


def encodable(text: str, encoding: str) -> bool:
    """Return whether an encoding has every character of a text."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _unsafe(char: str) -> bool:
    return not char.isprintable() and unicodedata.category(char) in _UNSAFE


def _shown(char: str) -> str:
    if not _unsafe(char):
        return char
    if char in _SHORT:
        return _SHORT[char]
    place = ord(char)
    if place < _BYTE:
        return f"\\x{place:02x}"
    return f"\\u{place:04x}" if place < _PLANE else f"\\U{place:08x}"


def _in_json(char: str) -> str:
    """Return a character as RFC 8259 section 7 escapes it: above U+FFFF as a pair of surrogates."""
    place = ord(char)
    if place < _PLANE:
        return f"\\u{place:04x}"
    high, low = divmod(place - _PLANE, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def without_credentials(value: str) -> str:
    """Return a text in which the user, password and query of a URL are blanked. Other text stays as it is.

    The query of a signed URL is a credential.

    >>> without_credentials("https://me:secret@policies.example/b.tar.gz?sign=1"), without_credentials("a?b")
    ('https://...@policies.example/b.tar.gz?...', 'a?b')
    """
    return _URL_QUERY.sub(r"\1?...", _URL_USER.sub(r"\1...@", value))
