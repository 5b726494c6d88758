"""The one frozen copy of a request's head. A first version: its shape."""

from __future__ import annotations

from typing import NamedTuple


class Head(NamedTuple):
    """What was received, and of it what goes on.

    received: every header line as it came. headers: those that go on. The fields behind them are single-line
    security headers, None where absent. forwarded: all lines of the one configured forwarding header.
    """

    method: str  # "GET" or "POST"
    query: bytes
    received: tuple[tuple[bytes, bytes], ...]
    headers: tuple[tuple[bytes, bytes], ...]
    host: bytes
    authorization: bytes | None
    action: bytes | None
    version: bytes | None
    region: bytes | None
    timestamp: bytes | None
    token: bytes | None
    content_sha256: bytes | None
    content_type: bytes | None
    content_length: bytes | None
    identity: bytes | None
    forwarded: tuple[bytes, ...]
