"""Layouts of heads: what the names alone determine, and that nothing of a value is kept."""

from __future__ import annotations

import pytest

from camguard.gateway.head_layout import LAYOUT_BYTES, LAYOUT_OF, LAYOUTS, LOWER, HeadLayout, written

HEADS = [
    pytest.param((), (), b"GET / HTTP/1.1\r\n\r\n", id="no line"),
    pytest.param((b"host",), (b"h",), b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", id="one line"),
    pytest.param(
        (b"Host", b"x-a", b"X-A"),
        (b"h", b"", b"\xff"),
        b"GET / HTTP/1.1\r\nhost: h\r\nx-a: \r\nx-a: \xff\r\n\r\n",
        id="names in lower case, repeats, an empty value, bytes that are no text",
    ),
]


@pytest.mark.parametrize(("names", "values", "expected"), HEADS)
def test_a_head_is_written(names: tuple[bytes, ...], values: tuple[bytes, ...], expected: bytes) -> None:
    for _ in range(2):  # computed, and kept
        assert written(LAYOUT_OF[names], b"GET / HTTP/1.1", values, b"\r\n") == expected


def test_a_layout_keeps_no_value() -> None:
    layout = LAYOUT_OF[b"host", b"x-a"]
    first = written(layout, b"GET / HTTP/1.1", (b"h", b"secret"), b"\r\n")
    second = written(layout, b"GET / HTTP/1.1", (b"h", b""), b"\r\n")
    assert b"secret" in first
    assert b"secret" not in second
    assert layout is LAYOUT_OF[b"host", b"x-a"]
    assert b"secret" not in b"".join(layout.pieces)


def test_a_layout_names_what_frames_a_message() -> None:
    layout = LAYOUT_OF[b"Content-Length", b"x", b"transfer-encoding", b"connection", b"content-length"]
    assert layout.framing == (
        (0, b"content-length"),
        (2, b"transfer-encoding"),
        (3, b"connection"),
        (4, b"content-length"),
    )
    assert not layout.names_host
    assert LAYOUT_OF[b"x", b"HOST"].names_host


@pytest.mark.parametrize("name", [b"", b"x y", b"x:", b"x\r\ny", b"x\0", b"x\xa0\x7f", b'"x"', b"{x}"])
def test_what_is_no_name_has_no_layout(name: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011 - it says nothing, because it could quote a request
            LAYOUT_OF[b"host", name]


def test_equal_names_are_one_object_in_lower_case() -> None:
    assert LOWER[b"X-Odd-Name"] is LOWER[bytes(bytearray(b"X-Odd-Name"))] == b"x-odd-name"


def test_t101_layouts_are_bounded_in_number_and_size() -> None:
    for number in range(LAYOUTS + 10):
        LAYOUT_OF[b"x-%d" % number,]
    assert len(LAYOUT_OF) <= LAYOUTS
    long = tuple(b"x-%d-%b" % (number, b"y" * 90) for number in range(LAYOUT_BYTES // 90))
    assert isinstance(LAYOUT_OF[long], HeadLayout)
    assert long not in LAYOUT_OF
