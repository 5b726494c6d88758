"""Text that is almost JSON: each kind is named, with what to change."""

from __future__ import annotations

import json

import pytest

from camguard.json_advice import json_advice

ADVICE = [
    pytest.param('{"a": 1, // why\n"b": 2}', "no comments", id="a comment to the end of the line"),
    pytest.param('{"a": 1 /* why */}', "no comments", id="a comment in the middle"),
    pytest.param('# why\n{"a": 1}', "no comments", id="a comment before the document"),
    pytest.param('{"a": [1, 2,]}', "no comma behind", id="a comma at the end of a list"),
    pytest.param('{"a": 1,\n}', "no comma behind", id="a comma at the end of an object"),
    pytest.param("{\u201ca\u201d: 1}", "\u201c is no quotation mark", id="curly quotation marks"),
    pytest.param('{"a": \u2018b\u2019}', "\u2018 is no quotation mark", id="curly single marks"),
    pytest.param(
        '{"a": \u300c1\u300d, "b": \u00abc\u00bb}', "\u00ab in line 1 is no", id="angle quotation marks"
    ),
    pytest.param(
        '{\n"a\u201d: "b"}', "\u201d in line 2 is no quotation mark", id="a curly mark that ends a string"
    ),
    pytest.param('{"a"\uff1a1}', "\uff1a is a full-width sign; write :", id="a full-width colon"),
    pytest.param('{"a": 1\uff0c"b": 2}', "\uff0c is a full-width sign; write ,", id="a full-width comma"),
    pytest.param("{'a': 1}", "no single quotation marks", id="single quotation marks"),
    pytest.param('{"a": True}', "write true", id="a word of another language"),
    pytest.param('{"a": None}', "write null", id="another word of it"),
    pytest.param("{a: 1}", "in quotation marks", id="a name without quotation marks"),
    pytest.param('{"a": 1}\n{"a": 2}', "a second document", id="two documents"),
    pytest.param('{"a": [1', "ends too early", id="a text that ends too early"),
    pytest.param("<!doctype html><p>", "HTML or XML", id="a page"),
    pytest.param("", "the file is empty", id="nothing"),
    pytest.param(" \n", "the file is empty", id="blanks"),
]


@pytest.mark.parametrize(("text", "words"), ADVICE)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    assert words in json_advice(text, caught.value.pos)


@pytest.mark.parametrize("text", ['{"a": b}', "version: 2.0", '{"a": 1 "b": 2}', '{"a": "\n"}', "[1}"])
def test_nothing_is_guessed(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    assert not json_advice(text, caught.value.pos)
