"""Shadow by part: the first override that fits a call gives its mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from camguard.catalog.model import Access
from camguard.enforcement.modes import Modes
from camguard.enforcement.target import Target
from camguard.engine.decision import Decision, Reason
from camguard.errors import SettingsError
from camguard.request.rejection import rejection
from camguard.settings import load_settings
from tests.company import action

DENIED = Decision(Reason.NO_ALLOW, layer="identity")
ROWS = """
[enforcement]
mode = "enforce"
[[enforcement.override]]
service = "cvm"
access = "write"
mode = "enforce"
[[enforcement.override]]
service = "cvm"
mode = "shadow"
[[enforcement.override]]
access = "list"
mode = "shadow"
[[enforcement.override]]
listener = "authorizer"
mode = "shadow"
"""


def modes(folder: Path, text: str, listener: str = "gateway") -> Modes:
    (folder / "camguard.toml").write_text(text)
    return Modes(load_settings(folder / "camguard.toml", environ={}).enforcement, listener)


def target(service: str | None, access: Access | None) -> Target:
    entry = None if access is None else action(f"{service}:DoIt", access=access)
    return Target(service=service, entry=entry)


# listener, service, access; whether a denial passes
PARTS = [
    pytest.param("gateway", "cvm", Access.WRITE, False, id="the first row that fits counts"),
    pytest.param("gateway", "cvm", Access.READ, True, id="a service"),
    pytest.param("gateway", "cvm", None, True, id="an action without an entry is a part of its service"),
    pytest.param("gateway", "vpc", Access.LIST, True, id="an access"),
    pytest.param("gateway", "vpc", Access.READ, False, id="no row"),
    pytest.param("gateway", "vpc", None, False, id="an action without an entry has no access"),
    pytest.param("gateway", None, None, False, id="no service"),
    pytest.param("authorizer", "vpc", Access.READ, True, id="a listener"),
    pytest.param("authorizer", "cvm", Access.WRITE, False, id="a listener behind a row that fits before"),
    pytest.param("middleware", "vpc", Access.READ, False, id="another listener"),
]


@pytest.mark.parametrize(("listener", "service", "access", "passes"), PARTS)
def test_a_part_has_a_mode(
    listener: str, service: str | None, access: Access | None, passes: bool, tmp_path: Path
) -> None:
    found = modes(tmp_path, ROWS, listener)
    called = target(service, access)
    assert found.passes(DENIED, called) is passes
    assert found.of(called) == ("shadow" if passes else "enforce")
    assert found.passes(Decision(Reason.ALLOWED), called)
    assert not found.passes(rejection("header_alias"), called), "what is malformed passes in no mode"


def test_a_row_without_a_service_fits_the_calls_of_a_service_that_another_row_names(tmp_path: Path) -> None:
    text = '[{service = "cvm", access = "write", mode = "enforce"}, {access = "list", mode = "shadow"}]'
    found = modes(tmp_path, f'[enforcement]\nmode = "enforce"\noverride = {text}\n')
    assert found.passes(DENIED, target("cvm", Access.LIST))
    assert not found.passes(DENIED, target("cvm", Access.WRITE))


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_without_rows_all_calls_have_one_mode(mode: str, tmp_path: Path) -> None:
    found = modes(tmp_path, f'enforcement.mode = "{mode}"\n')
    assert found.single == mode
    assert found.passes(DENIED, target("cvm", Access.WRITE)) is (mode == "shadow")


def test_a_row_can_enforce_a_part_of_a_gateway_in_shadow_mode(tmp_path: Path) -> None:
    text = '[enforcement]\nmode = "shadow"\noverride = [{service = "cam", mode = "enforce"}]\n'
    found = modes(tmp_path, text)
    assert not found.passes(DENIED, target("cam", Access.READ))
    assert found.passes(DENIED, target("cvm", Access.READ))


# the rows, what is wrong with them
WRONG = [
    pytest.param('[{service = "cvm"}]', "lacks mode", id="no mode"),
    pytest.param('[{mode = "shadow"}]', "names no part", id="no part"),
    pytest.param('[{service = "cvm", mode = "off"}]', "'off' is not one of enforce", id="no such mode"),
    pytest.param('[{access = "all", mode = "shadow"}]', "'all' is not one of read", id="no such access"),
    pytest.param('[{listener = "admin", mode = "shadow"}]', "'admin' is not one of", id="no such listener"),
    pytest.param('[{service = "C V M", mode = "shadow"}]', "is not a service", id="no such name"),
    pytest.param('[{services = "cvm", mode = "shadow"}]', "unknown key", id="a misspelt key"),
    pytest.param('["shadow"]', "is not a table", id="a text"),
    pytest.param('"shadow"', "is not a list of tables", id="no list"),
    pytest.param(
        '[{service = "cvm", mode = "shadow"}, {service = "cvm", mode = "enforce"}]',
        "the same part",
        id="the same part twice",
    ),
]


@pytest.mark.parametrize(("rows", "problem"), WRONG)
def test_wrong_rows_are_refused(rows: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        modes(tmp_path, f"[enforcement]\noverride = {rows}\n")
    assert "#/enforcement/override" in str(caught.value)
