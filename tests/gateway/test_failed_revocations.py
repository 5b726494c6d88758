"""A revocation that fails shows in metrics, alert, readiness and log within one poll, and so does its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.running import ROOT, Gateway, eventually, running

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")

POLL = 0.3
RULES = ROOT / "config/prometheus/rules.yml"


def cut(file: Path) -> None:
    file.write_text(file.read_text()[:-20])


def open_to_all(file: Path) -> None:
    file.chmod(0o666)


class Source(NamedTuple):
    """What is polled. file: in the folder of the gateway. word: in the log, and in `failing` of readiness."""

    file: str
    word: str
    metric: str


KEYS = Source("keys.json", "keys", "camguard_keys_last_reload_successful")
PRINCIPALS = Source("bundle/principals.json", "bundle", "camguard_policy_last_reload_successful")
POLICY = PRINCIPALS._replace(file="bundle/policies/aiart-create.json")
FAILURES = [
    pytest.param(KEYS, open_to_all, id="keys that everybody may write"),
    pytest.param(KEYS, cut, id="keys that are no JSON"),
    pytest.param(KEYS, Path.unlink, id="no keys file"),
    pytest.param(PRINCIPALS, cut, id="principals that are no JSON"),
    pytest.param(PRINCIPALS, Path.unlink, id="no principals"),
    pytest.param(POLICY, cut, id="a policy that is no JSON"),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("company") / "camguard"
    with running(folder, POLICY__POLL_SECONDS=str(POLL)) as gateway:
        yield gateway


def failing(gateway: Gateway) -> list[str]:
    status, text = gateway.get("/-/ready")
    assert status == 200, "the last good content serves"
    found: list[str] = json.loads(text)["failing"]
    return found


def alerts() -> dict[str, Any]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["expr"].strip(): rule for group in groups for rule in group["rules"] if "alert" in rule}


@pytest.mark.parametrize(("source", "spoil"), FAILURES)
def test_a_revocation_that_fails_is_seen(
    gateway: Gateway, source: Source, spoil: Callable[[Path], object]
) -> None:
    file = gateway.folder / source.file
    good, mode, logged = file.read_bytes(), file.stat().st_mode, len(gateway.stderr_lines)
    assert gateway.metrics()[source.metric] == 1
    spoil(file)
    eventually(lambda: failing(gateway) == [source.word])
    assert source.metric not in gateway.metrics(), "it is 0"
    assert "for" not in alerts()[f"{source.metric} == 0"], "the alert fires at the first evaluation"
    eventually(
        lambda: any(file.name in line or "principals.json" in line for line in gateway.stderr_lines[logged:])
    )
    errors = [line for line in gateway.stderr_lines[logged:] if "level=error" in line]
    assert errors[0].partition(' msg="')[2].startswith(f"{source.word} cannot be loaded; ")
    file.write_bytes(good)
    file.chmod(mode)
    eventually(lambda: failing(gateway) == [])
    assert gateway.metrics()[source.metric] == 1
    eventually(lambda: any("level=info" in line for line in gateway.stderr_lines[logged:]))
