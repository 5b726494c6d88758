"""JSON read strictly: what two readers could read differently is refused."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camguard.errors import CamguardError
from camguard.request.json_body import parse_json
from camguard.strict_json import (
    Check,
    Fault,
    Number,
    ObjectReader,
    child,
    flag,
    one_of,
    or_null,
    read_json,
    shaped,
    text,
    texts,
)


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
    pytest.param(b"\xff\xfe{\x00}\x00", "not UTF-8 at byte 0: this is UTF-16", id="T87 UTF-16"),
    pytest.param(
        b"\xfe\xff\x00{\x00}", "not UTF-8 at byte 0: this is UTF-16", id="T87 UTF-16, high bytes first"
    ),
    pytest.param(b'{"a": "\xff"}', r"not UTF-8 at byte 7 \[", id="a stray byte"),
    pytest.param('{"a": 1, "a": 1}', "the key 'a' appears twice", id="T86 a key twice"),
    pytest.param('{"a": 1, "\\u0061": 1}', "the key 'a' appears twice", id="T86 a key twice, once escaped"),
    pytest.param(
        json.dumps({f"k{number}": number for number in range(2000)})[:-1] + ', "k7": 7}',
        "the key 'k7' appears twice",
        id="T86 a key twice among thousands",
    ),
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


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_values_are_nested_64_levels_deep_at_most(opening: str, closing: str) -> None:
    """The document itself is no level."""
    read(opening * 64 + "1" + closing * 64)
    with pytest.raises(CamguardError, match="nested too deeply"):
        read(opening * 65 + "1" + closing * 65)


def test_an_empty_list_is_a_level_of_its_own() -> None:
    read("[" * 65 + "]" * 65)
    with pytest.raises(CamguardError, match="nested too deeply"):
        read("[" * 66 + "]" * 66)


# a text that is not JSON, the whole message
MESSAGES = [
    pytest.param(
        "[1,]",
        "not JSON at line 1 column 4: JSON has no comma behind the last entry; remove the comma",
        id="a mistake with an advice",
    ),
    pytest.param(
        '{"a": 1\n"b": 2}', "not JSON: Expecting ',' delimiter at line 2 column 1", id="another mistake"
    ),
]


@pytest.mark.parametrize(("raw", "message"), MESSAGES)
def test_the_message_about_a_text_that_is_not_json(raw: str, message: str) -> None:
    with pytest.raises(CamguardError) as caught:
        read(raw)
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_problem_is_placed_by_pointer() -> None:
    with pytest.raises(CamguardError) as caught:
        read('{"a/b": [{"~": 1, "~": 2}]}')
    assert caught.value.problems[0].where == "f.json#/a~1b/0/~0"


@pytest.mark.parametrize("number", ["1" * 5000, "1e999", "-0", "0.1"])
def test_a_number_keeps_its_text(number: str) -> None:
    assert read(f"[{number}]") == [number]


def test_a_pointer_is_escaped_as_rfc_6901_defines() -> None:
    assert child("#/a", "x/y~z") == "#/a/x~1y~0z"


class Members(tuple[tuple[str, Any], ...]):
    """An object as it is written, the same key as often as you like."""

    __slots__ = ()


TEXTS = st.text("a~/é\ud800", max_size=2)
WRITTEN = st.recursive(
    TEXTS | st.booleans() | st.none() | st.integers().map(lambda number: Number(str(number))),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(TEXTS, inner), max_size=3).map(Members),
    max_leaves=12,
)
DEPTH = 3


def spell(value: Any) -> str:
    if isinstance(value, Number):
        return value
    if isinstance(value, Members):
        return "{" + ",".join(f"{json.dumps(name)}:{spell(each)}" for name, each in value) + "}"
    return "[" + ",".join(map(spell, value)) + "]" if isinstance(value, list) else json.dumps(value)


def expect(value: Any, at: str, depth: int) -> Any:
    """Return what a value reads as; raise ValueError with the first thing wrong and its place."""
    if depth < 0:
        raise ValueError(at, "nested too deeply")
    if isinstance(value, list):
        return [expect(each, child(at, i), depth - 1) for i, each in enumerate(value)]
    if isinstance(value, str) and "\ud800" in value:
        raise ValueError(at, "contains half of a surrogate pair")
    if not isinstance(value, Members):
        return value
    found: dict[str, Any] = {}
    for name, each in value:
        expect(name, at, 0)
        if name in found:
            raise ValueError(child(at, name), f"the key {name!r} appears twice in one object")
        found[name] = expect(each, child(at, name), depth - 1)
    return found


@given(WRITTEN)
def test_a_text_is_read_or_its_first_fault_is_reported(value: Any) -> None:
    try:
        expected = expect(value, "", DEPTH)
    except ValueError as wrong:
        with pytest.raises(CamguardError) as caught:
            read_json(spell(value), "f.json", CamguardError, "X", depth=DEPTH)
        at, message = wrong.args
        assert (caught.value.problems[0].where, caught.value.problems[0].message) == (
            f"f.json#{at}" if at else "f.json",
            message,
        )
    else:
        assert read_json(spell(value), "f.json", CamguardError, "X", depth=DEPTH) == expected


@pytest.mark.parametrize(("raw", "words"), WRONG)
def test_what_is_refused_of_a_stranger(raw: str | bytes, words: str) -> None:
    del words
    assert is_refused(raw)


def is_refused(raw: str | bytes, depth: int = 64) -> bool:
    """Tell whether the reader of strangers' texts refuses one."""
    try:
        parse_json(
            raw if isinstance(raw, bytes) else raw.encode(errors="surrogatepass"), depth=depth, most=1_000_000
        )
    except ValueError:
        return True
    return False


PIECES = [
    *(
        '"a"',
        '"b"',
        '"a\\\\"',
        '"\\""',
        '"\\\\\\""',
        '":"',
        '","',
        '"\\u0061"',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '"\u4e2d"',
        # The sign that stands for escapes while a text is searched, itself and as others write it.
        '"\x7fq"',
        '"\\u007fq\\""',
        '"\\u007Fb\\\\"',
        '"\\u0022"',
    ),
    *("{", "}", "[", "]", ":", ",", "1", "-0", "1e5", "null", " ", "{}", "[]"),
]
documents = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.sampled_from(["a", 'b"', "\\", ":,", "\u4e2d", '\x7fq"'])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", 'b":', "\\", '"', "c"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
        documents.map(json.dumps),
        st.lists(
            st.tuples(
                st.sampled_from(['"a"', '"b"', '"\\u0061"', '"\\""', '"\\u0022"']),
                st.sampled_from(["1", "[]", '{"a":1}']),
            ),
            max_size=3,
        ).map(lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"),
    ),
    st.integers(0, 4),
)
def test_both_readers_of_json_agree(text: str, depth: int) -> None:
    try:
        placed: object = read_json(text, "f", CamguardError, "X", depth=depth)
    except CamguardError:
        assert is_refused(text, depth)
    else:
        assert parse_json(text.encode(), depth=depth, most=1000) == placed


# Checks, a value, what is wrong with it: the names below the value, and the message.
CHECKS = [
    pytest.param(text, "x", [], id="a string"),
    pytest.param(text, Number("1"), [((), "must be a string")], id="a number is no string"),
    pytest.param(text, None, [((), "must be a string")], id="null is no string"),
    pytest.param(or_null(text), None, [], id="null where null may stand"),
    pytest.param(or_null(text), [], [((), "must be a string or null")], id="a list where null may stand"),
    pytest.param(flag, False, [], id="false"),
    pytest.param(flag, 0, [((), "must be true or false")], id="zero is not false"),
    pytest.param(texts, [], [], id="an empty list"),
    pytest.param(texts, "x", [((), "must be a list of strings")], id="a string is no list"),
    pytest.param(texts, {}, [((), "must be a list of strings")], id="an empty object is no list"),
    pytest.param(
        texts,
        ["a", Number("1"), None],
        [((1,), "must be a string"), ((2,), "must be a string")],
        id="each wrong element",
    ),
    pytest.param(or_null(texts), [1], [((0,), "must be a string")], id="an element may not be null"),
    pytest.param(one_of("all", "any"), "any", [], id="one of the words"),
    pytest.param(
        one_of("all", "any"), "an", [((), "must be one of all, any (did you mean 'any'?)")], id="a near word"
    ),
    pytest.param(one_of("1"), Number("1"), [((), "must be one of 1")], id="a number for a word"),
    pytest.param(shaped(re.compile("a+"), "a few a"), "aa", [], id="the whole shape"),
    pytest.param(
        shaped(re.compile("a+"), "a few a"), "aab", [((), "must be a few a")], id="more than the shape"
    ),
    pytest.param(
        shaped(re.compile("1"), "a one"), Number("1"), [((), "must be a one")], id="a number in the shape"
    ),
]


@pytest.mark.parametrize(("check", "value", "faults"), CHECKS)
def test_a_check_names_what_is_wrong_and_where(check: Check, value: Any, faults: list[Fault]) -> None:
    assert list(check(value)) == faults


def test_an_object_has_the_members_that_it_must_have_and_no_other() -> None:
    reader = ObjectReader("a.json", "TestError")
    members = reader.members(
        {"a/b": "x", "n": ["x", 1], "nmae": 1, "flga": 1, "flag": True},
        "/top",
        required={"a/b": text, "name": text},
        optional={"n": texts, "flag": flag},
    )
    assert members == {"a/b": "x", "flag": True}
    assert [str(problem) for problem in reader.problems] == [
        "a.json#/top/n/1: must be a string [TestError]",
        "a.json#/top/nmae: unknown key 'nmae' (did you mean 'name'?) [TestError]",
        "a.json#/top/flga: unknown key 'flga' (did you mean 'flag'?) [TestError]",
        "a.json#/top: lacks 'name' [TestError]",
    ]


@pytest.mark.parametrize("value", [[], "x", None, Number("1"), True])
def test_what_is_no_object_has_no_members_and_lacks_none(value: Any) -> None:
    reader = ObjectReader("a.json", "TestError")
    assert reader.members(value, "", required={"a": text}) == {}
    assert [str(problem) for problem in reader.problems] == ["a.json: must be an object [TestError]"]


def test_a_place_of_another_format_is_spelt_as_it_asks() -> None:
    reader = ObjectReader("a.toml", "E", noun="a table", joint=": ", step=lambda at, key: f"{at}, {key}")
    assert not reader.passes([1], "[[test]] 2, ips", texts)
    reader.members([], "[[test]] 3")
    assert [problem.where for problem in reader.problems] == [
        "a.toml: [[test]] 2, ips, 0",
        "a.toml: [[test]] 3",
    ]
    assert reader.problems[-1].message == "must be a table"
