"""`camguard config show`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from camguard.settings import load_settings


@pytest.fixture
def mine(folder: Path) -> Path:
    """Return a folder with a settings file of four lines, in which two values are no defaults."""
    (folder / "camguard.toml").write_text(
        '[gateway]\nworkers = 2\nadmin = ""\n[identity]\nmode = "signature"\n[upstream]\ncvm = "http://cvm:80"\n'
    )
    return folder


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """Return the settings that the verb prints."""
    assert main(["config", "show", *options, "--format", "json"]) == 0
    settings: dict[str, Any] = json.loads(capsys.readouterr().out)["settings"]
    return settings


def test_every_setting_says_where_it_comes_from(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMGUARD_GATEWAY__LISTEN", "127.0.0.1:9999")
    monkeypatch.setenv("CAMGUARD_GATEWAY__WORKERS", "3")
    found = shown(capsys)
    assert {name: found["gateway"][name] for name in ("listen", "workers", "authorizer")} == {
        "listen": {
            "value": "127.0.0.1:9999",
            "default": "127.0.0.1:8080",
            "from": "environment",
            "place": "CAMGUARD_GATEWAY__LISTEN",
        },
        "workers": {"value": 3, "default": 1, "from": "environment", "place": "CAMGUARD_GATEWAY__WORKERS"},
        "authorizer": {"value": None, "default": None, "from": "default", "place": None},
    }
    assert found["identity"]["mode"] == {
        "value": "signature",
        "default": "signature",
        "from": "file",
        "place": "camguard.toml#/identity/mode",
    }
    assert found["upstream"]["cvm"]["default"] is None
    effective = load_settings(mine / "camguard.toml").effective()
    assert {
        name: {key: each["value"] for key, each in keys.items()} for name, keys in found.items()
    } == effective


def test_the_text_is_toml_that_has_the_same_effect(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = folder / "camguard.toml"
    text = settings.read_text().replace("egress = {}", 'egress = {"10.0.0.0/8" = "203.0.113.7"}')
    settings.write_text(text)
    assert main(["config", "show"]) == 0
    printed = capsys.readouterr().out
    assert '"203.0.113.7"' in printed
    copy = tmp_path / "copy.toml"
    copy.write_text(printed)
    assert load_settings(copy, {}).effective() == load_settings(settings, {}).effective()
    assert tomllib.loads(printed).keys() == load_settings(settings, {}).effective().keys()


@pytest.mark.usefixtures("mine")
def test_the_text_names_the_variable_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMGUARD_GATEWAY__LISTEN", "127.0.0.1:9999")
    assert main(["config", "show", "gateway.listen"]) == 0
    line = 'listen = "127.0.0.1:9999"  # environment, CAMGUARD_GATEWAY__LISTEN'
    assert capsys.readouterr().out.splitlines()[1:] == ["", "[gateway]", line]


@pytest.mark.usefixtures("mine")
def test_only_what_differs_from_its_default_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "--changed")
    assert {name: [*keys] for name, keys in found.items()} == {
        "gateway": ["admin", "workers"],
        "upstream": ["cvm"],
    }
    assert shown(capsys, "limits", "--changed") == {}
    assert main(["config", "show", "limits", "--changed"]) == 0
    assert "none of these settings differs from its default" in capsys.readouterr().err


# a name, what the message suggests
UNKNOWN = [
    pytest.param("gatway", "gatway: no such setting (did you mean 'gateway'", id="a mistyped section"),
    pytest.param("gateway.lisen", "(did you mean 'gateway.listen'", id="a mistyped key"),
    pytest.param("gateway.", "gateway.: no such setting", id="a section with a dot"),
]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("name", "says"), UNKNOWN)
def test_an_unknown_setting_is_wrong_usage(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err


# policy.source, the exit code
URLS = [
    pytest.param("https://policies.example/b.tar.gz?sign=SECRET", 0, id="a signed URL"),
    pytest.param("https://me:SECRET@policies.example/b.tar.gz", 3, id="a password in a URL"),
    pytest.param("https://me:SECRET/SECRET@policies.example/b", 3, id="a password with a slash"),
    pytest.param("https://SECRET@policies.example/b?sign=SECRET", 3, id="a user and a query"),
    pytest.param("https://me:SECRET\\u0001@policies.example/b", 3, id="a password with a control character"),
]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("url", "code"), URLS)
def test_credentials_of_a_url_are_printed_nowhere(
    url: str, code: int, form: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "camguard.toml").write_text(f'[policy]\nsource = "{url}"')
    assert main(["config", "show", "--format", form]) == code
    printed = "".join(capsys.readouterr())
    assert "policies.example" in printed
    assert "SECRET" not in printed


def test_settings_that_cannot_be_used_are_not_shown(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "camguard.toml").write_text("[gateway]\nworkers = 0")
    assert main(["config", "show"]) == 3
    assert "camguard.toml#/gateway/workers: 0 is not a whole number" in capsys.readouterr().err
