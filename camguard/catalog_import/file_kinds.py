"""What a file is: its text, or one sentence that says what the file is and what to do.

Rule 1: bytes that are valid UTF-8 are UTF-8, whatever the file declares: a page that was converted and kept
        its old declaration is common, and text of another encoding is hardly ever valid UTF-8.
Rule 2: else the encoding that the file itself declares is used. Nothing else is tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from camguard.files import PAGE_BYTES

_SAVE: Final = "save the page from the browser as HTML, or copy its text into a file"
_WAIT: Final = "open the page, wait for its tables, and save it completely, or copy its text into a file"
_UNPACK: Final = "unpack the file first"
_CONVERT: Final = "convert the file to UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"

# How files begin -> what they are, and what to do.
_SIGNATURES: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"%PDF-", "a PDF document", _SAVE),
    (b"\x89PNG", "a PNG image", _SAVE),
    (b"\xff\xd8\xff", "a JPEG image", _SAVE),
    (b"GIF8", "a GIF image", _SAVE),
    (b"RIFF", "an image, a sound or a film", _SAVE),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"PK\x03\x04", "a ZIP archive or an Office document", f"{_UNPACK}, or {_SAVE}"),
    (b"\xd0\xcf\x11\xe0", "an Office document", _SAVE),
    (b"{\\rtf", "an RTF document", "save the document as plain text"),
    (b"bplist00", "a web archive of Safari", "save the page as page source"),
    (b"\xff\xfe\0\0", "text in UTF-32", _CONVERT.replace("16", "32")),
    (b"\0\0\xfe\xff", "text in UTF-32", _CONVERT.replace("16", "32")),
    (b"\xff\xfe", "text in UTF-16", _CONVERT),
    (b"\xfe\xff", "text in UTF-16", _CONVERT),
    (b"\x7fELF", "a program", _SAVE),
)
_UTF_8_MARK: Final = b"\xef\xbb\xbf"
_MIME: Final = re.compile(rb"content-type:\s*multipart/", re.IGNORECASE)
_MIME_HEAD: Final = re.compile(
    rb"\s*(?:from|subject|date|mime-version|snapshot-content-location):", re.IGNORECASE
)
_HEAD: Final = 4096  # bytes in which a file declares its encoding

# Labels of the WHATWG Encoding Standard, section 4.2 -> the codec that its decoder is.
_CODECS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "gb_2312-80", "csgb2312", "x-gbk", "chinese"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms932"), "cp932"),
    **dict.fromkeys(("euc-jp", "x-euc-jp"), "euc_jp"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "windows-949", "korean"), "cp949"),
    **dict.fromkeys(("iso-8859-1", "latin1", "windows-1252", "cp1252", "us-ascii", "ascii"), "cp1252"),
}
_DECLARED: Final = re.compile(
    rb"""<meta\s[^<>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\s[^<>]*?encoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)


class Fault(NamedTuple):
    """A place at which bytes are not of the encoding of their file. line: from 1."""

    line: int
    message: str


def why_no_text(raw: bytes) -> str | None:
    """Return why a file contains no text that can be read, and what to do; None if it contains text."""
    if len(raw) > PAGE_BYTES:
        return f"is larger than {PAGE_BYTES} bytes: save the page without pictures, or copy its tables"
    if not raw.strip():
        return "is empty: save the page again, once the browser shows its tables"
    for signature, kind, advice in _SIGNATURES:
        if raw.startswith(signature):
            return f"is {kind}: {advice}"
    if _MIME_HEAD.match(raw[:_HEAD]) and _MIME.search(raw[:_HEAD]):
        return "is an MHTML archive or a mail: save the page as HTML only"
    return _why_binary(raw) if b"\0" in raw else None


def _why_binary(raw: bytes) -> str:
    """Return what bytes with NUL among them are: text in UTF-16 without a mark, or no text."""
    pairs = raw[: _HEAD * 2]
    # Of the ASCII characters of text in UTF-16, every second byte is NUL.
    halves = pairs[::2].count(0), pairs[1::2].count(0)
    if max(halves) > max(1, len(pairs) // 8) and not min(halves):
        return f"is text in UTF-16: {_CONVERT}"
    return f"is not text: {_SAVE}"


def decode(raw: bytes) -> tuple[str, Fault | None]:
    """Return the text of a file without byte order marks, and the first place that is in no known encoding.

    Such bytes become U+FFFD, which no name and no template allows.
    """
    raw = raw.removeprefix(_UTF_8_MARK)
    try:
        return raw.decode(), None
    except UnicodeDecodeError as error:
        start = error.start
    label = _declared(raw)
    codec = _CODECS.get(label, "utf-8")
    try:
        return raw.decode(codec), None
    except UnicodeDecodeError as error:
        start = error.start
    text = raw.decode(codec, errors="replace")
    name = label if label in _CODECS else "UTF-8"
    cure = "" if label in _CODECS else f"; convert the file to UTF-8{_declares(label)}"
    return text, Fault(raw.count(b"\n", 0, start) + 1, f"is not {name} at byte {start}{cure}")


def _declared(raw: bytes) -> str:
    """Return the encoding that a file declares, in lower case, or an empty text."""
    found = _DECLARED.search(raw[:_HEAD])
    return (found[1] or found[2]).decode("ascii", errors="replace").lower() if found else ""


def _declares(label: str) -> str:
    return f" (it declares {label!r})" if label and label not in {"utf-8", "utf8"} else ""


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_catalog(text: str) -> bool:
    return '"actions"' in text and '"service"' in text and _is_json(text)


_PASSWORD: Final = re.compile(r"""<input\s[^<>]*?type\s*=\s*["']?password""", re.IGNORECASE)
_SIGN_IN: Final = re.compile(
    r"<title[^<>]*+>[^<>]*?(?:log ?in|sign ?in|登录|登入|登錄|ログイン|로그인)", re.IGNORECASE
)
_PLAIN: Final = r"\s*(?:<!doctype html|<html|<head|<body|<script|<div)"
_MARKUP: Final = re.compile(_PLAIN, re.IGNORECASE)
_TABLE: Final = re.compile(r"<table[\s>]", re.IGNORECASE)
_CELL: Final = re.compile(r"<t[dh][\s>]", re.IGNORECASE)

# What text may be that contains no product table -> one sentence each; the first that holds is used.
_NO_PAGES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (
        _is_catalog,
        "is a catalog file, which is what this command writes: put it into the catalog folder as it is",
    ),
    (_is_json, f"is a JSON document, not a page: {_SAVE}"),
    (
        lambda text: is_html(text) and (_PASSWORD.search(text) or _SIGN_IN.search(text)),
        "is a login page: sign in, open the documentation page, and save that page",
    ),
    (
        lambda text: is_html(text) and not _TABLE.search(text),
        f"is an HTML page without tables, which a script fills in the browser: {_WAIT}",
    ),
    (re.compile(r"\s*<\?xml|\s*<svg", re.IGNORECASE).match, f"is an XML document, not a page: {_SAVE}"),
)


def is_html(text: str) -> bool:
    """Return whether a text is HTML, or text with tables in HTML, as Markdown may contain them."""
    return bool(_MARKUP.match(text) or (_TABLE.search(text) and _CELL.search(text)))


def what_text_is(text: str) -> str | None:
    """Return what a text without a product table is, and what to do; None if nothing is known of it."""
    return next((sentence for holds, sentence in _NO_PAGES if holds(text)), None)
