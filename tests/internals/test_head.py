"""How much is kept of the heads of requests, and what a head does not need."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.request import head as head_module
from camguard.request.head import (
    UNPACKER_OF,
    HeadRules,
    RequestHead,
    _unpack_by_zip,
    _unpacker_of,
    peer_address,
    read_head,
)
from camguard.request.header_rules import HeaderLayout
from tests.stage import FROM_OFFICE, HOST, SETTINGS, Line, sdk


def fail(*_: object) -> None:
    raise AssertionError("more was done than the head needs")


def read(rules: HeadRules, *lines: Line) -> RequestHead:
    scope = {"method": "GET", "path": "/", "query_string": b"", "headers": [(b"host", HOST), *lines]}
    found = read_head(scope, rules)
    assert isinstance(found, RequestHead)
    return found


def test_a_thousand_and_twenty_four_layouts_of_short_names_are_kept() -> None:
    layouts = HeadRules(SETTINGS).layouts
    layout: Any = layouts[(b"host",)]
    assert isinstance(layout, HeaderLayout)
    for number in range(1023):
        layouts[(b"host", b"%d" % number)] = layout
    assert len(layouts) == 1024
    layouts[(b"host", b"one more")] = layout
    assert len(layouts) == 1
    layouts[(b"host", b"x" * 4092)] = layout
    assert len(layouts) == 2, "4096 bytes of names"
    layouts[(b"host", b"x" * 4000, b"y" * 93)] = layout
    assert len(layouts) == 2, "one byte more"


def test_a_function_is_made_and_kept_for_up_to_128_lines() -> None:
    assert _unpacker_of(128) is not _unpack_by_zip
    assert _unpacker_of(129) is _unpack_by_zip
    for count, kept in ((1, True), (128, True), (129, False)):
        assert UNPACKER_OF[count](((b"n", b"v"),) * count) == ((b"n",) * count, (b"v",) * count)
        assert (count in UNPACKER_OF) is kept


def test_without_a_line_that_names_others_none_is_looked_up() -> None:
    rules = HeadRules(SETTINGS)
    read(rules, (b"x-note", b"1"))
    assert rules.hops == {}
    read(rules, (b"connection", b"x-note"))
    assert list(rules.hops) == [b"x-note"]


def test_values_without_control_characters_are_not_searched_for_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "_only_harmless_tabs", fail)
    read(HeadRules(SETTINGS), *sdk(FROM_OFFICE, without=[b"host"]))
    with pytest.raises(AssertionError, match="more was done"):
        read(HeadRules(SETTINGS), (b"x-note", b"a\tb"))


def test_a_list_of_addresses_without_ports_names_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "_names", fail)
    assert peer_address(("10.0.0.1", 42), [b"10.0.0.1, 10.0.0.2"]) == "10.0.0.1"
    with pytest.raises(AssertionError, match="more was done"):
        peer_address(("10.0.0.1", 42), [b"10.0.0.1:42"])


def test_what_is_not_there_is_none() -> None:
    assert SETTINGS.hosts.health_path is None
    assert HeadRules(SETTINGS).health_path is None
    assert read(HeadRules(SETTINGS)).declared is None
