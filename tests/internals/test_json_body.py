"""What is not searched, hidden or checked in the JSON of a body, because the text does not need it (T62)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from camguard.request import json_body
from camguard.request.json_body import TooManyValuesError, parse_json, prepare

MOST = 1000


def fail(*_: object, **__: object) -> None:
    raise AssertionError("more was done than the text needs")


class Unsearched:
    """A pattern that is not to be searched."""

    search = fail


def test_t62_a_text_costs_203_times_64_kib_at_most() -> None:
    escapes = b"\\n" * ((203 << 13) - 2)  # each costs its two letters and six more
    text = b'"' + escapes + b"x" * 14 + b'"'
    assert prepare(text, MOST).cost == 203 << 16
    with pytest.raises(TooManyValuesError):
        prepare(text[:-1] + b'x"', MOST)


# a text, and the search or the change that it does not need
LEFT_OUT = [
    pytest.param(b'{"a": ["b", 1]}', "_QUOTE", id="a text without escapes has no escaped quote"),
    pytest.param(b'{"a": ["b", 1]}', "_UNICODE", id="a text without escapes has no escaped letter"),
    pytest.param(rb'["\n\\."]', "_hide", id="without an escaped quote nothing is hidden"),
    pytest.param(rb'["\"\n"]', "_ESCAPED_MARK", id="without an escaped letter there is no escaped mark"),
    pytest.param(rb'{"a": ["\"\\"], "b": {}}', "_show_names", id="names without hidden escapes are names"),
    pytest.param(rb'{"a": "\n\"\\"}', "_encode", id="without an escaped letter no string has half of one"),
]


@pytest.mark.parametrize(("raw", "name"), LEFT_OUT)
def test_what_a_text_does_not_need_is_left_out(
    raw: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = parse_json(raw, most=MOST)
    monkeypatch.setattr(json_body, name, fail if callable(getattr(json_body, name)) else Unsearched)
    assert parse_json(raw, most=MOST) == read


def test_t62_a_text_that_costs_too_much_is_refused_before_its_escapes_are_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_body, "_hide", fail)
    text = rb'["\""]'
    with pytest.raises(AssertionError, match="more was done"):
        prepare(text, MOST, most_cost=11)
    with pytest.raises(TooManyValuesError):
        prepare(text, MOST, most_cost=10)


def test_the_strings_of_each_level_of_a_document_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[list[str]] = []

    def noted(texts: Iterable[str]) -> None:
        checked.append([*texts])

    monkeypatch.setattr(json_body, "_encode", noted)
    parse_json(rb'["\u0061", {"b": "c"}, ["d"]]', most=MOST)
    assert checked == [[], ["a"], ["b"], ["d", "c"]]


def test_only_what_an_escaped_quote_needs_is_replaced() -> None:
    replaced: list[Any] = []

    class Text(bytes):
        def replace(self, *given: Any) -> Text:
            replaced.append(given[0])
            return Text(super().replace(*given))

    assert json_body._hide(Text(rb'"\""')) == b'"\x7fq"'
    assert replaced == [rb"\""]
    assert json_body._hide(Text(rb'"\\"')) == b'"\x7fb"'
    assert replaced == [rb"\"", rb"\\", rb"\""]
