"""Formats one record as one line of the decision log.

Rule 1: every line has the same keys in the same order; an unknown value is null.
Rule 2: a line is one JSON object in printable ASCII, whatever a caller has sent (T112).
Rule 3: a line has at most LINE_BYTES, because each text has at most TEXT_BYTES, each list LIST_BYTES, the
        CAM names NAMES_BYTES, and each word, which camguard itself has chosen or read by a strict form,
        WORD_BYTES.
Rule 4: every written field is named in this file, so that a new field of a record is not logged by accident
        (T113).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from json.encoder import encode_basestring_ascii

from camguard.bounded_cache import BoundedCache
from camguard.grammar import REVISION_DIGITS
from camguard.ipset import format_address
from camguard.telemetry.record import Record

LINE_BYTES = 4096  # line break included; a pipe takes as many bytes in one piece (PIPE_BUF)
TEXT_BYTES = 224  # of an escaped text, without quotes
LIST_BYTES = 640  # of an escaped list, with brackets
NAMES_BYTES = 192  # of the CAM names, which are names of the catalog and so ASCII
WORD_BYTES = 128  # of an escaped word, without quotes
CUT = "..."  # ends a text or a list that was cut
SCHEMA = 2  # counts up when a key leaves or changes its meaning; new keys may come without that
KEYS = (
    *("schema", "time", "id", "listener", "mode", "decision", "reason", "detail", "layer", "principal"),
    *(
        "secret_id",
        "service",
        "action",
        "cam_action",
        "access",
        "resources",
        "host",
        "source_ip",
        "egress_ip",
    ),
    *("peer", "statements", "revision", "candidate", "duration_us", "status", "upstream_status"),
    *("upstream_error", "trace_id", "client_request_id"),
)
_TEMPLATE = "{" + ",".join(f'"{key}":%s' for key in KEYS) + "}\n"

_second: tuple[int, str] = (-1, "")  # the second of the last line, and its text


def log_line(
    record: Record,
    upstream_status: int | None,
    upstream_error: str | None = None,
    status: int | None = None,
) -> bytes:
    """Return the line for one record, line break included.

    upstream_status, upstream_error, status: as `camguard.telemetry.record.Conclusion` is given them.
    """
    decision, entry, candidate = record.decision, record.entry, record.candidate
    return (
        _TEMPLATE
        % (
            SCHEMA,
            _moment(record.time),
            _name(record.request_id),
            _word(record.listener),
            _word(record.mode),
            '"allow"' if decision else '"deny"',
            _word(decision.reason),
            _word(decision.detail),
            _word(decision.layer),
            _text(record.principal),
            _word(record.secret_id),
            _word(record.service),
            _text(record.action),
            _names(record.cam_action),
            _text(entry.access if entry is not None else None),
            _list(record.resources),
            _text(record.host),
            _address(record.source_ip),
            _address(record.egress_ip),
            _word(record.peer),
            _list(decision.statements),
            _text(record.revision[:REVISION_DIGITS] or None),
            _text(candidate.reason if candidate is not None else None),
            f"{record.duration * 1e6:.1f}",
            _number(status),
            _number(upstream_status),
            _word(upstream_error),
            _name(record.trace_id),
            _name(record.client_request_id),
        )
    ).encode("ascii")


def _moment(seconds: float) -> str:
    """Return a time in the form of RFC 3339: UTC, six digits of a second."""
    global _second  # noqa: PLW0603 - a cache of one second; one thread writes lines
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    cached, text = _second
    if cached != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, text)
    return f'"{text}.{micros:06d}Z"'


def _address(place: int | None) -> str:
    return "null" if place is None else f'"{format_address(place)}"'


def _names(value: str | None) -> str:
    """Return the CAM names as JSON, cut."""
    if value is not None and len(value) > NAMES_BYTES:
        value = value[: NAMES_BYTES - len(CUT)] + CUT
    return _text(value)


def _number(value: int | None) -> str:
    return "null" if value is None else "%d" % value  # noqa: UP031 - `%d` also formats an IntEnum as a number


def _text(value: str | None) -> str:
    """Return a text as JSON, escaped and cut."""
    return "null" if value is None else _escaped[value]


def _word(value: str | None) -> str:
    """Return a word as JSON, escaped and cut."""
    return "null" if value is None else _words[value]


def _name(value: str | None) -> str:
    """Return the name of one request as JSON, escaped and cut. It comes once, so it is not remembered."""
    return "null" if value is None else _escape(value, WORD_BYTES)


def _escape(value: str, most: int = TEXT_BYTES) -> str:
    """Return a text as JSON with at most so many bytes between its quotes."""
    escaped = encode_basestring_ascii(value[: most + 1])
    if "\\ud" in escaped:  # many JSON parsers refuse half of a surrogate pair; this keeps whole pairs
        value = value[: most + 1].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        escaped = encode_basestring_ascii(value)
    if len(escaped) <= most + 2:
        return escaped
    room = most - len(CUT)
    kept = []
    for char in value[:most]:
        piece = encode_basestring_ascii(char)[1:-1]
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return f'"{"".join(kept)}{CUT}"'


_escaped: BoundedCache[str, str] = BoundedCache(_escape, longest=TEXT_BYTES)  # principals and actions recur
_words: BoundedCache[str, str] = BoundedCache(partial(_escape, most=WORD_BYTES), longest=TEXT_BYTES)


def _list(values: Iterable[str | None]) -> str:
    """Return a list as JSON, cut after the last value that fits."""
    room = LIST_BYTES - len(f'[,"{CUT}"]')
    kept = []
    for value in values:
        piece = _text(value)
        room -= len(piece) + 1
        if room < 0:
            kept.append(f'"{CUT}"')
            break
        kept.append(piece)
    return f"[{','.join(kept)}]"
