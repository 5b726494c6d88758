"""From settings to parts: what raises, what is repaired while the parts run, and what is logged."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from camguard import Call
from camguard.errors import SettingsError
from camguard.settings import Settings, load_settings
from camguard.wiring import assemble
from tests.company import document

KEYS = {"AKIDEXAMPLE": {"secret_key": "EXAMPLE-SECRET-KEY-0000000000000", "principal": "uin/100000000101"}}


@pytest.fixture
def folder(tmp_path: Path, repository: Path) -> Path:
    """Return a copy of the shipped settings, catalog and bundle, with keys of its own."""
    for name in ("catalog", "bundle"):
        shutil.copytree(repository / "config" / name, tmp_path / name)
    shutil.copy(repository / "config" / "camguard.toml", tmp_path / "camguard.toml")
    write_keys(tmp_path, KEYS)
    return tmp_path


def write_keys(folder: Path, keys: Any) -> None:
    file = folder / "keys.json"
    file.write_text(json.dumps(keys))
    file.chmod(0o600)


def settings(folder: Path, **overrides: str) -> Settings:
    environ = {f"CAMGUARD_{name.upper()}": value for name, value in overrides.items()}
    return load_settings(folder / "camguard.toml", environ={"CAMGUARD_DECISION_LOG__PATH": "", **environ})


def test_parts_are_whole_before_they_start(folder: Path) -> None:
    parts = assemble(settings(folder), listeners=("gateway", "authorizer"))
    assert parts.store.bundle is not None
    assert parts.guard is parts.guards["gateway"]
    assert parts.guards["authorizer"].listener == "authorizer"
    assert parts.guard.conclusions == ()
    assert parts.candidate is None
    text = parts.metrics.render().decode()
    assert 'camguard_requests_in_flight{listener="gateway"} 0.0' in text
    parts.guards["authorizer"].in_flight = 3
    assert 'camguard_requests_in_flight{listener="authorizer"} 3.0' in parts.metrics.render().decode()
    assert 'camguard_requests_waiting{listener="gateway"} 0.0' in text


def test_a_log_is_concluded_to_where_there_is_one(folder: Path) -> None:
    parts = assemble(settings(folder, decision_log__path="log"))
    assert parts.guard.conclusions == (parts.log.conclude,)


def test_a_candidate_is_held_beside(folder: Path) -> None:
    parts = assemble(settings(folder, enforcement__candidate="bundle", policy__poll_seconds="3600"))
    assert parts.candidate is not None
    assert parts.candidate.bundle is not None
    assert parts.candidate.bundle is not (parts.store.bundle)
    parts.start()
    parts.stop()


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({"identity__keys_file": "missing.json"}, id="no keys where signatures are verified"),
        pytest.param({"policy__source": "https://policies.example/bundle.tar.gz"}, id="a URL"),
    ],
)
def test_settings_that_cannot_be_used_raise(folder: Path, overrides: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        assemble(settings(folder, **overrides))


@pytest.mark.parametrize(("tables", "kept"), [("1", 1), ("2", 2)])
def test_as_many_sets_of_policies_stay_compiled_as_the_settings_say(
    folder: Path, tables: str, kept: int
) -> None:
    bundle = assemble(settings(folder, limits__tables=tables)).store.bundle
    assert bundle is not None
    for principal in bundle.people.layers:
        bundle.decide(Call(principal, "aiart:TextToImage", None, 0.0))
    assert bundle.table_stats()[2] == kept


def test_a_proxy_may_name_the_caller_without_any_keys(folder: Path) -> None:
    (folder / "keys.json").unlink()
    assert assemble(settings(folder, identity__mode="header")).keys is None


def test_a_bundle_that_breaks_is_logged_once_and_the_last_good_one_stays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = assemble(settings(folder))
    good = parts.store.bundle
    assert good is not None
    (folder / "bundle/policies/aiart-full.json").write_text("{")
    with caplog.at_level(logging.INFO, "camguard"):
        for _ in range(3):
            assert parts.store.reload().result == "failure"
    assert parts.store.bundle is good
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert good.revision[:12] in messages[0]
    assert "aiart-full.json" in messages[0]


def test_keys_are_looked_at_whenever_policies_are(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T82: a key that is taken away is gone after one look."""
    parts = assemble(settings(folder))
    assert parts.keys is not None
    before = parts.keys.keys
    write_keys(folder, {})
    with caplog.at_level(logging.INFO, "camguard"):
        parts.store.reload()
    assert parts.keys.keys is not before
    assert "keys were replaced" in caplog.text
    (folder / "keys.json").write_text("{")
    parts.store.reload()
    assert "the last good keys stay in use" in caplog.text
    assert KEYS["AKIDEXAMPLE"]["secret_key"] not in caplog.text


def test_policies_that_can_grant_nothing_are_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = folder / "bundle/policies/idle.json"
    policy.write_text(document({"action": "cvm:*"}))
    with caplog.at_level(logging.INFO, "camguard"):
        store = assemble(settings(folder)).store
        policy.write_text(document({"action": "cvm:Stop*"}))
        store.reload()
    tables = [each.getMessage() for each in caplog.records if "can grant nothing" in each.getMessage()]
    assert tables == ["policies that can grant nothing here:\n  idle  no page: cvm"]
