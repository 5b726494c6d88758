"""JSON read strictly: what two readers could read differently is refused."""

from __future__ import annotations

import time

import pytest

from camguard.errors import CamguardError
from camguard.jsontext import Number, child, read_json


def read(raw: str | bytes) -> object:
    return read_json(raw, "f.json", CamguardError, "X")


def test_what_comes_out() -> None:
    found = read('{"a": [1, -2.50e3, "1", true, null], "é": {}}')
    assert found == {"a": ["1", "-2.50e3", "1", True, None], "é": {}}
    assert isinstance(found, dict)
    assert [type(value) for value in found["a"][:3]] == [Number, Number, str]


WRONG = [
    pytest.param("", "not JSON", id="nothing"),
    pytest.param("{", "not JSON", id="a document cut off"),
    pytest.param("[1,]", "not JSON", id="a comma at the end"),
    pytest.param("{'a': 1}", "not JSON", id="single quotes"),
    pytest.param("// x\n{}", "not JSON", id="a comment"),
    pytest.param("\ufeff{}", "BOM", id="T87 a byte order mark"),
    pytest.param("[NaN]", "NaN is not JSON", id="T87 no number"),
    pytest.param("[-Infinity]", "-Infinity is not JSON", id="T87 no end"),
    pytest.param(b"\xff\xfe{\x00}\x00", "not UTF-8 at byte 0", id="T87 UTF-16"),
    pytest.param(b'{"a": "\xff"}', "not UTF-8 at byte 7", id="a stray byte"),
    pytest.param('{"a": 1, "a": 1}', "the key 'a' stands twice", id="T86 a key twice"),
    pytest.param('{"a": 1, "\\u0061": 1}', "the key 'a' stands twice", id="T86 a key twice, once escaped"),
    pytest.param('["\\ud800"]', "half of a surrogate pair", id="T87 half a letter in a value"),
    pytest.param('{"\\ud800": 1}', "half of a surrogate pair", id="T87 half a letter in a key"),
    pytest.param("[" * 100 + "]" * 100, "nested too deeply", id="T87 deep"),
    pytest.param("[" * 100_000, "nested too deeply", id="T87 so deep that the parser gives up"),
    pytest.param('"a\nb"', "not JSON", id="a raw line break in a text"),
]


@pytest.mark.parametrize(("raw", "words"), WRONG)
def test_what_is_refused(raw: str | bytes, words: str) -> None:
    begin = time.process_time()
    with pytest.raises(CamguardError, match=words):
        read(raw)
    assert time.process_time() - begin < 1


def test_a_problem_is_placed_by_pointer() -> None:
    with pytest.raises(CamguardError) as caught:
        read('{"a/b": [{"~": 1, "~": 2}]}')
    assert caught.value.problems[0].where == "f.json#/a~1b/0/~0"


@pytest.mark.parametrize("number", ["1" * 5000, "1e999", "-0", "0.1"])
def test_a_number_keeps_its_text(number: str) -> None:
    assert read(f"[{number}]") == [number]


def test_a_pointer_escapes_what_rfc_6901_says() -> None:
    assert child("#/a", "x/y~z") == "#/a/x~1y~0z"
