"""`camguard front`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.authorizer.fronts import FRONTS, Front, render
from camguard.bundle import load_bundle
from camguard.cli import main
from camguard.settings import Address, load_settings


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", FRONTS)
def test_a_configuration_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["front", name, "--listen", "127.0.0.1:18443"]) == 0
    printed = capsys.readouterr()
    settings = load_settings("camguard.toml")
    bundle = load_bundle(settings.policy.source, catalog=settings.catalog.path)
    assert printed.out == render(Front.of(name, settings, bundle, Address("127.0.0.1", 18443)))
    assert "gateway.authorizer" in printed.err
    assert " is empty: " in printed.err


def test_the_document_tells_whether_bodies_are_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMGUARD_GATEWAY__AUTHORIZER", "10.0.0.5:8600")
    config = str(folder / "camguard.toml")
    assert main(["front", "nginx-auth-request", "--config", config, "--format", "json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["schema"], document["proxy"]) == (1, "nginx-auth-request")
    assert document["bodies"] == {
        "needed": True,
        "shown": False,
        "why": ["the signature of a POST covers its body"],
    }
    assert "server 10.0.0.5:8600;" in document["configuration"]
    assert printed.err == ""


def test_wrong_words_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["front", "ngnix"]) == 2
    assert "nginx" in capsys.readouterr().err
    assert main(["front", "nginx", "--listen", "nowhere"]) == 2
    assert "an address with a port" in capsys.readouterr().err
