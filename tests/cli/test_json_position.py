"""From a JSON Pointer to a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camguard.cli.json_position import line_of
from camguard.strict_json import child

TEXT = """
{
  "version": "2.0", "a/b": {"m~n": 1},
  "Statement": [
    {"effect": "allow"},
    {
      "effect": "deny", "action": [
        "x:{\\"",
        "x:]"
      ],
      "": [],
      "condition": {"ip_equal": {
        "qcs:ip": ["10.0.0.0/8"]}}
    }
  ]
}
"""

LINES = [
    pytest.param("", 2, id="the document"),
    pytest.param("/version", 3, id="a member"),
    pytest.param("/a~1b/m~0n", 3, id="escapes of a pointer"),
    pytest.param("/Statement/1", 6, id="an element"),
    pytest.param("/Statement/1/action", 7, id="a member is where its name is"),
    pytest.param("/Statement/1/action/1", 9, id="behind braces and quotes within text"),
    pytest.param("/Statement/1/", 11, id="a member without a name"),
    pytest.param("/Statement/1/condition/ip_equal/qcs:ip/0", 13, id="deep down"),
    pytest.param("/statement/1/Action/0", 8, id="letter case aside, where nothing is equal"),
    pytest.param("/Statement/1/resource", 6, id="what is missing is where it is missing"),
    pytest.param("/Statement/7/action", 4, id="an element that is not there"),
    pytest.param("/Statement/1//0", 11, id="an element of an empty list"),
    pytest.param("/version/x", 3, id="a step into a text"),
    pytest.param("/Statement/-1", 4, id="no number of an element"),
]


@pytest.mark.parametrize(("pointer", "line"), LINES)
def test_line_of(pointer: str, line: int) -> None:
    assert line_of(TEXT, pointer) == line


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a"', '{"a": [1, ', "nonsense", "\ufeff{}", "[" * 5000],
    ids=lambda text: text[:8] or "nothing",
)
def test_broken_text_has_one_line(text: str) -> None:
    assert line_of(text, "/a/0") == 1
    assert line_of(text, "/0/0") == 1


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def places(tree: Any, at: str) -> list[tuple[str, Any]]:
    """Return every pointer of a tree with what it points at."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    deeper = [place for name, value in items for place in places(value, child(at, name))]
    return [(at, tree), *deeper]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(TREES)
def test_every_place_of_a_document_has_its_line(tree: Any) -> None:
    text = json.dumps(tree, indent=1)  # one item a line, in the order of `places`
    lines = text.split("\n")
    for pointer, value in places(tree, ""):
        line = lines[line_of(text, pointer) - 1].strip().rstrip(",")
        name = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        opening = json.dumps(value, indent=1).split("\n")[0]
        assert line in {opening, f"{json.dumps(name)}: {opening}"}
