"""The phrases that several verbs print."""

from __future__ import annotations

import pytest

from camguard.cli.phrases import places, rows, span

# blocks, how many of them are always listed, and the text
PLACES = [
    pytest.param(("0.0.0.0/0", "::/0"), 0, "everywhere", id="every address"),
    pytest.param(("10.0.0.0/8",), 0, "10.0.0.0/8", id="one block"),
    pytest.param(("0.0.0.0/1", "128.0.0.0/1"), 0, "everywhere but ::/0", id="fewer blocks are left out"),
    pytest.param(("0.0.0.0/1", "128.0.0.0/1"), 2, "0.0.0.0/1+128.0.0.0/1", id="so few are listed anyway"),
    pytest.param(("0.0.0.0/1",), 0, "0.0.0.0/1", id="more blocks are left out"),
]


@pytest.mark.parametrize(("cidrs", "brief", "text"), PLACES)
def test_addresses(cidrs: tuple[str, ...], brief: int, text: str) -> None:
    assert places(cidrs, "+".join, brief) == text


# begin, end, and the text
SPANS = [
    pytest.param(None, None, "", id="without ends"),
    pytest.param(0.0, None, " from 1970-01-01T00:00:00Z", id="with a begin"),
    pytest.param(None, 1.0, " until 1970-01-01T00:00:01Z", id="with an end"),
    pytest.param(0.0, 1.0, " from 1970-01-01T00:00:00Z until 1970-01-01T00:00:01Z", id="with both"),
]


@pytest.mark.parametrize(("begin", "end", "text"), SPANS)
def test_a_window_of_time(begin: float | None, end: float | None, text: str) -> None:
    assert span({"from": begin, "until": end}) == text


def test_a_row_without_a_cell_is_left_out() -> None:
    assert list(rows([("from", "10.0.0.1"), ("host", "")])) == ["  from      10.0.0.1"]
