"""TOML from outside: whatever is no TOML is one error with a message and, where it is known, a line."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.strict_toml import NotTomlError, read_toml

READ: list[Any] = [
    pytest.param(b"", {}, id="nothing"),
    pytest.param(b'\xef\xbb\xbfa = "b"', {"a": "b"}, id="behind a byte order mark"),
    pytest.param('a = "\u4e2d"'.encode(), {"a": "\u4e2d"}, id="UTF-8"),
    pytest.param(b"a = 9223372036854775807", {"a": (1 << 63) - 1}, id="the greatest number"),
    pytest.param(b"a = -9223372036854775808", {"a": -(1 << 63)}, id="the least number"),
    pytest.param(b"a = true\nb = 1e400", {"a": True, "b": float("inf")}, id="a flag and an infinite number"),
    pytest.param(b"a = " + b"[" * 63 + b"1" + b"]" * 63, None, id="64 levels of lists"),
    pytest.param(b".".join([b"a"] * 64) + b" = 1", None, id="64 levels of tables"),
]


@pytest.mark.parametrize(("raw", "document"), READ)
def test_what_is_read(raw: bytes, document: Any) -> None:
    found = read_toml(raw)
    if document is not None:
        assert found == document


DEEP, LARGE = "is not TOML: values are nested too deeply", "is not TOML: a whole number has more than 64 bits"
# a text, the message, the line or None where it is not known
REFUSED: list[Any] = [
    pytest.param(b"a = 1\nb = \n", "is not TOML: Invalid value (at line 2, column 5)", 2, id="no value"),
    pytest.param(b"a = 1\na = 2", "is not TOML: Cannot overwrite a value (at end of document)", None,
                 id="a key twice"),
    pytest.param(b"a = 2026-02-30", "is not TOML: Invalid date or datetime (at line 1, column 5)", 1,
                 id="no day"),
    pytest.param(b"\na =", "is not TOML: Invalid value (at end of document)", None, id="half a line"),
    pytest.param(b"\n" * 10 + b"a = b", "is not TOML: Invalid value (at line 11, column 5)", 11,
                 id="no value in a later line"),
    pytest.param(b"a = 1\n\nb = '\xff'", "is not UTF-8", 3, id="a stray byte"),
    pytest.param(b"\n\xff", "is not UTF-8", 2, id="a stray byte behind an empty line"),
    pytest.param("a = 1".encode("utf-16"), "is not UTF-8", 1, id="UTF-16"),
    pytest.param(b"a = 9223372036854775808", LARGE, None, id="a number of 65 bits"),
    pytest.param(b"a = -9223372036854775809", LARGE, None, id="a negative number of 65 bits"),
    pytest.param(b"a = [{b = [0x" + b"f" * 17 + b"]}]", LARGE, None, id="a hexadecimal number, nested"),
    pytest.param(b"a = " + b"1" * 5000, LARGE, None, id="more digits than Python reads"),
    pytest.param(b"a = 0x" + b"1" * 5000, LARGE, None, id="more digits than Python prints"),
    pytest.param(b"a = " + b"[" * 64 + b"1" + b"]" * 64, DEEP, None, id="65 levels of lists"),
    pytest.param(b".".join([b"a"] * 65) + b" = 1", DEEP, None, id="65 levels of tables"),
    pytest.param(b".".join([b"a"] * 2000) + b" = 1", DEEP, None, id="2000 levels of tables"),
    pytest.param(b"a = " + b"[" * 50_000, DEEP, None, id="lists so deep that the parser gives up"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "message", "line"), REFUSED)
def test_what_is_refused(raw: bytes, message: str, line: int | None) -> None:
    with pytest.raises(NotTomlError) as caught:
        read_toml(raw)
    assert (str(caught.value), caught.value.line) == (message, line)
    assert caught.value.place("f.toml") == ("f.toml" if line is None else f"f.toml:{line}")
