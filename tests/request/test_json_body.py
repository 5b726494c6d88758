"""The JSON of a body: escapes that are hidden while it is parsed, and what costs too much (T62)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard.request.json_body import MOST_PARSE_COST, TooManyValuesError, parse_json, prepare
from camguard.strict_json import Number

MOST = 1000

# a text, its document
READ = [
    pytest.param(rb'"\\q \""', '\\q "', id="the letter of a hidden quote behind a backslash"),
    pytest.param(rb'"\\b \""', '\\b "', id="the letter of a hidden backslash behind a backslash"),
    pytest.param(rb'"\\\" \\"', '\\" \\', id="a quote behind a backslash, both escaped"),
    pytest.param(b'"\x7fq \\" \\\\"', '\x7fq " \\', id="the mark itself with the letter of a hidden quote"),
    pytest.param(
        b'"\x7fb \\" \\\\"', '\x7fb " \\', id="the mark itself with the letter of a hidden backslash"
    ),
    pytest.param(rb'"\u007fq \""', '\x7fq "', id="the mark as an escape"),
    pytest.param(rb'"\u007Fq \""', '\x7fq "', id="the mark as an escape in a capital letter"),
    pytest.param(
        b"[1.50, -2e+3, 7]", [Number("1.50"), Number("-2e+3"), Number("7")], id="numbers as written"
    ),
    pytest.param(rb'{"a\"": {"\\": [true, null]}}', {'a"': {"\\": [True, None]}}, id="names with escapes"),
]


@pytest.mark.parametrize(("raw", "document"), READ)
def test_a_text_is_read_as_it_is_written(raw: bytes, document: Any) -> None:
    found = parse_json(raw, most=MOST)
    assert found == document
    if isinstance(found, list):
        assert {type(value) for value in found} == {Number}


# a text, the greatest depth of nesting, whether it is read
DEPTHS = [
    pytest.param(b"[[]]", 1, True, id="an empty list at the greatest depth"),
    pytest.param(b"[{}]", 1, True, id="an empty object at the greatest depth"),
    pytest.param(b'{"a": {"b": {}}}', 2, True, id="objects down to the greatest depth"),
    pytest.param(b"[[1]]", 1, False, id="a value below the greatest depth"),
    pytest.param(b"[[[]]]", 1, False, id="an empty list below the greatest depth"),
]


@pytest.mark.parametrize(("raw", "depth", "read"), DEPTHS)
def test_how_deeply_values_may_be_nested(raw: bytes, depth: int, *, read: bool) -> None:
    if read:
        assert parse_json(raw, depth=depth, most=MOST) is not None
    else:
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(raw, depth=depth, most=MOST)


def test_a_member_under_the_greatest_depth_counts() -> None:
    with pytest.raises(ValueError, match="a key appears twice"):
        parse_json(b'{"a": {}, "a": {}}', depth=1, most=MOST)


# letters of a text with escapes, whether it is shown
LENGTHS = [(4096, True), (4097, False)]


@pytest.mark.parametrize(("letters", "shown"), LENGTHS)
def test_an_escape_counts_as_the_letters_that_write_it(letters: int, *, shown: bool) -> None:
    text = "\\\\" * 2047 + "a" * (letters - 4096) + '\\"'
    found = parse_json(f'["{text}"]'.encode(), most=MOST)
    assert found == ["\\" * 2047 + "a" * (letters - 4096) + '"' if shown else None]


@pytest.mark.parametrize(("quotes", "enough"), [(4, True), (5, False), (6, False)])
def test_t62_quotes_are_counted_before_a_text_is_parsed(quotes: int, *, enough: bool) -> None:
    if enough:
        assert prepare(b'"' * quotes, 1).colons == 0
    else:
        with pytest.raises(TooManyValuesError):
            prepare(b'"' * quotes, 1)


@pytest.mark.parametrize(("megabytes", "read"), [(13, True), (14, False)])
def test_t62_a_text_is_parsed_where_it_costs_less_than_50_ms(megabytes: int, *, read: bool) -> None:
    """The bound was measured in bytes of a string without escapes, of which 13.3 million cost as much."""
    raw = b'"%s"' % (b"a" * (megabytes * 1_000_000))
    assert (len(raw) <= MOST_PARSE_COST) is read
    if read:
        assert prepare(raw, 1).cost == len(raw)
    else:
        with pytest.raises(TooManyValuesError):
            prepare(raw, 1)


def test_values_are_counted_before_the_text_is_read() -> None:
    assert parse_json(b'{"a": [1, 2, 3]}', most=4) == {"a": ["1", "2", "3"]}
    for raw in ('{"a": [1, 2, 3, 4]}', "[" * 100_000, '"' * 100, "[1," * 100, "1" * 1000):
        with pytest.raises(TooManyValuesError):
            parse_json(raw.encode(), most=4)
    prose = json.dumps({"a": "one, two, {three}: " * 100 + '\\"' * 100})
    assert parse_json(prose.encode(), most=1)["a"].startswith("one")


# a text, and its cost: its bytes, what its escapes take, and 64 for each piece between quotes
COSTS = [
    pytest.param(b'{"a":1}', 7, id="no escape"),
    pytest.param(b'"\\n"', 4 + 6, id="an escape in a text without escaped quotes"),
    pytest.param(b'"\\\\"', 4 + 7 * 4 // 8 + 4 + 3 * 64, id="an escaped backslash before the last quote"),
    pytest.param(b'"\\""', 4 + 5 * 4 // 8 + 2 + 3 * 64, id="an escaped quote"),
    pytest.param(b'"\\" \\"  "', 9 + 5 * 9 // 8 + 4 + 3 * 64, id="two escaped quotes"),
    pytest.param(b'"\\\\\\""', 6 + 7 * 6 // 8 + 6 + 3 * 64, id="an escaped backslash and quote"),
    pytest.param(b'"\\n\\""', 6 + 5 * 6 // 8 + 4 + 5 + 3 * 64, id="an escaped quote and another escape"),
    pytest.param(b'["\\"", 1, ""]', 13 + 5 * 13 // 8 + 2 + 5 * 64, id="two strings"),
    pytest.param(b'"\\u0061\\""', 10 + 5 * 10 // 8 + 4 + 5 + 3 * 64, id="an escape of any letter"),
    pytest.param(b'"\x7f\\""', 5 + 5 * 5 // 8 + 2 + 6, id="the mark of hidden escapes in the text"),
    pytest.param(b'"\x7f\\n"', 5 + 6, id="the mark in a text without escaped quotes"),
    pytest.param(b'"\\u007f\\""', 10 + 5 * 10 // 8 + 4 + 12, id="the mark as an escape"),
    pytest.param(b'"\\u007F\\""', 10 + 5 * 10 // 8 + 4 + 12, id="the mark as an escape in capitals"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "cost"), COSTS)
def test_t62_what_a_text_costs_and_that_one_more_is_refused(raw: bytes, cost: int) -> None:
    assert prepare(raw, most=9).cost == cost
    assert prepare(raw, 9, cost).cost == cost
    with pytest.raises(TooManyValuesError):
        prepare(raw, 9, cost - 1)


# a text outside of strings of which there are 64 letters for one value, and whether it is read
OUTSIDE = [
    pytest.param(b"[" + b" " * 62 + b"]", True, id="64 letters"),
    pytest.param(b"[" + b" " * 63 + b"]", False, id="65 letters"),
    pytest.param(b'"a"' + b" " * 64, True, id="64 letters around a string"),
    pytest.param(b'"a"' + b" " * 65, False, id="65 letters around a string"),
]


@pytest.mark.parametrize(("raw", "is_read"), OUTSIDE)
def test_how_much_may_stand_outside_of_strings(raw: bytes, is_read: bool) -> None:
    if is_read:
        assert prepare(raw, most=1).source == raw.decode()
    else:
        with pytest.raises(TooManyValuesError):
            prepare(raw, most=1)


LONG = '"' + r"x\"" * 1365 + 'x"'  # 4,096 letters
# a text with escaped quotes, and what the reader of bodies makes of it
HIDDEN = [
    pytest.param(r'{"a\"": 1, "b\\": "\\\""}', {'a"': "1", "b\\": '\\"'}, id="names and values"),
    pytest.param(r'{"a\"": 1, "a\u0022": 2}', ValueError, id="T86 a name twice, with another escape"),
    pytest.param(r'{"a\"": 1, "a\"": 2}', ValueError, id="T86 a name twice"),
    pytest.param(f"{{{LONG}: 1}}", {'x"' * 1365 + "x": "1"}, id="a name of 4 096 letters"),
    pytest.param(f'{{{LONG[:-1]}x": 1}}', TooManyValuesError, id="T62 a longer name"),
    pytest.param('{"%s": 1, "\\"": 2}' % ("x" * 5000), {"x" * 5000: "1", '"': "2"},
                 id="only names with escaped quotes are counted"),
    pytest.param(f"[{LONG}]", ['x"' * 1365 + "x"], id="a string of 4 096 letters"),
    pytest.param(f'[{LONG[:-1]}x"]', [None], id="a longer string"),
    pytest.param(f"[{', '.join([LONG] * 17)}]", ['x"' * 1365 + "x"] * 16 + [None], id="64 KiB of strings"),
    pytest.param(r'[["\"", 1, null, true], {"a": false}]', [['"', "1", None, True], {"a": False}],
                 id="values of other types"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), HIDDEN)
def test_what_is_hidden_is_shown(text: str, found: Any) -> None:
    if isinstance(found, type):
        with pytest.raises(found):
            parse_json(text.encode(), most=1000)
    else:
        assert parse_json(text.encode(), most=1000) == found


MIB = 1 << 20
LEFT_OUT = [
    pytest.param(
        {"a": 'x"' * 1365}, {"a": 'x"' * 1365}, id="a string that is written with 4 095 letters is read"
    ),
    pytest.param({"a": 'x"' * 1366}, {"a": None}, id="a longer one with escaped quotes is left out"),
    pytest.param(
        {"a": "x\\x" * 2049}, {"a": "x\\x" * 2049}, id="a longer one where no quote is escaped is read"
    ),
    pytest.param(
        {"a": "x" * 5000, "b": '"'}, {"a": "x" * 5000, "b": '"'}, id="a longer one without escapes is read"
    ),
    pytest.param(
        {"a": {"b": ["x" * 2000 + '"'] * 40}, "c": '"'},
        {"a": {"b": ["x" * 2000 + '"'] * 32 + [None] * 8}, "c": '"'},
        id="the upper levels come first within 64 KiB",
    ),
]


@pytest.mark.parametrize(("document", "found"), LEFT_OUT)
def test_long_strings_with_escaped_quotes_are_left_out(document: object, found: object) -> None:
    assert parse_json(json.dumps(document).encode(), most=1000) == found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps({'x"' * 2049: 1}), id="a long name with escaped quotes"),
        pytest.param(json.dumps({"a": '"' * 6 * MIB}), id="six million escaped quotes"),
        pytest.param(json.dumps({"a": "x\n" * 3 * MIB}), id="three million other escapes"),
        pytest.param(
            json.dumps({"a": '"' * MIB + "\x7f"}, ensure_ascii=False) + " " * 8 * MIB,
            id="a million escaped quotes beside the sign that stands for them",
        ),
    ],
)
def test_texts_that_cost_too_much_are_refused(text: str) -> None:
    with pytest.raises(TooManyValuesError):
        parse_json(text.encode(), most=1000)
