"""One record -> one line of the decision log.

Rule 1: the same keys in the same order for every outcome; what is not known is null.
Rule 2: a line is printable ASCII and one JSON object, whatever a caller sent (threats T112).
Rule 3: a line is at most LINE_BYTES, since each text is at most TEXT_BYTES of it, and each list LIST_BYTES.
Rule 4: what is written is named here, field by field; nothing gets here because it was lying about (T113).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii

from camguard.ipset import format_address
from camguard.telemetry.record import Record

LINE_BYTES = 4096  # at most, the line break included: written to a pipe in one piece (PIPE_BUF)
TEXT_BYTES = 256  # of an escaped text, without quotes
LIST_BYTES = 768  # of an escaped list, with brackets
CUT = "..."  # ends what was cut
KEYS = (
    *("time", "id", "listener", "mode", "decision", "reason", "principal", "secret_id", "service", "action"),
    *("access", "resources", "source_ip", "peer", "statements", "revision", "candidate", "duration_us"),
    *("upstream_status", "request_id"),
)
_TEMPLATE = "{" + ",".join(f'"{key}":%s' for key in KEYS) + "}\n"
_REVISION_DIGITS = 12
_REMEMBERED = 4096

_escaped: dict[str, str] = {}  # bounded, cleared when full: principals and actions come again
_second: tuple[int, str] = (-1, "")  # the second that the last line was written in, as text


def log_line(record: Record, upstream_status: int | None) -> bytes:
    """Return the line for one record, line break included."""
    decision, entry, candidate = record.decision, record.entry, record.candidate
    request_id = _text(record.request_id)
    return (
        _TEMPLATE
        % (
            _moment(record.time),
            request_id,
            _text(record.listener),
            _text(record.mode),
            '"allow"' if decision else '"deny"',
            _text(decision.reason),
            _text(record.principal),
            _text(record.secret_id),
            _text(record.service),
            _text(record.action),
            _text(entry.access if entry is not None else None),
            _list(record.resources),
            "null" if record.source_ip is None else f'"{format_address(record.source_ip)}"',
            _text(record.peer),
            _list(decision.statements),
            _text(record.revision[:_REVISION_DIGITS] or None),
            _text(candidate.reason if candidate is not None else None),
            f"{record.duration * 1e6:.1f}",
            "null" if upstream_status is None else "%d" % upstream_status,  # noqa: UP031 - an int, whatever it is
            request_id,
        )
    ).encode("ascii")


def _moment(seconds: float) -> str:
    """Return a time as RFC 3339 has it: UTC, six digits of a second."""
    global _second  # noqa: PLW0603 - a memo of one second, written by the one thread that writes lines
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    known, spelt = _second
    if known != whole:
        spelt = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, spelt)
    return f'"{spelt}.{micros:06d}Z"'


def _text(value: str | None) -> str:
    """Return a text as JSON, escaped and cut."""
    if value is None:
        return "null"
    known = _escaped.get(value)
    if known is None:
        if len(_escaped) >= _REMEMBERED:
            _escaped.clear()
        known = _escape(value)
        if len(value) <= TEXT_BYTES:
            _escaped[value] = known
    return known


def _escape(value: str) -> str:
    escaped = encode_basestring_ascii(value[: TEXT_BYTES + 1])
    if "\\ud" in escaped:  # half of a pair is no text to many readers of JSON; whole pairs survive this
        value = value[: TEXT_BYTES + 1].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        escaped = encode_basestring_ascii(value)
    if len(escaped) <= TEXT_BYTES + 2:
        return escaped
    room = TEXT_BYTES - len(CUT)
    kept = []
    for char in value[:TEXT_BYTES]:
        piece = encode_basestring_ascii(char)[1:-1]
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return f'"{"".join(kept)}{CUT}"'


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
