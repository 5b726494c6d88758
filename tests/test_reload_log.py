"""The events of reloads: what an activation changes, failures and recoveries, edits of the settings file."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camguard.reload_log import LISTED, changes, listed
from camguard.settings.load import parse_settings
from camguard.settings.source import read_source
from camguard.telemetry.process_log import Event
from camguard.wiring import Components, assemble, open_store
from tests.processor import longest_step

SECRET = "EXAMPLE-SECRET-KEY-0000000000000"
ONE, TWO = "AKIDone0000000000one", "AKIDtwo0000000000two"
ONE_SHOWN, TWO_SHOWN = "AKIDon…0one", "AKIDtw…0two"
QUIET = {"CAMGUARD_DECISION_LOG__PATH": ""}


@pytest.fixture
def folder(tmp_path: Path, repository: Path) -> Path:
    """Return a copy of the shipped settings, catalog and bundle, with one key of its own."""
    for name in ("catalog", "bundle"):
        shutil.copytree(repository / "config" / name, tmp_path / name)
    shutil.copy(repository / "config" / "camguard.toml", tmp_path / "camguard.toml")
    write_keys(tmp_path, **{ONE: {}})
    return tmp_path


def write_keys(folder: Path, **keys: Any) -> None:
    usual = {"secret_key": SECRET, "principal": "uin/100000000101"}
    file = folder / "keys.json"
    file.write_text(json.dumps({name: {**usual, **key} for name, key in keys.items()}))
    file.chmod(0o600)


def edit(file: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def assembled(folder: Path) -> Components:
    source = read_source(folder / "camguard.toml", QUIET)
    return assemble(parse_settings(source), source=source)


def events_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """Return level, text and facts of each event since the last look."""
    found = [
        (record.levelname, record.msg.text, record.msg.facts)
        for record in caplog.records
        if isinstance(record.msg, Event)
    ]
    assert len(found) == len(caplog.records)
    assert SECRET not in caplog.text
    caplog.clear()
    return found


@pytest.fixture
def running(folder: Path, caplog: pytest.LogCaptureFixture) -> Components:
    caplog.set_level(logging.INFO, "camguard")
    components = assembled(folder)
    caplog.clear()
    return components


def test_the_first_activation_says_what_there_is(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "camguard")
    running = assembled(folder)
    ((level, text, facts),) = events_of(caplog)
    assert (level, text) == ("INFO", "bundle is in force")
    bundle = running.store.bundle
    assert bundle is not None
    assert facts["revision"] == bundle.revision[:12]
    assert (facts["policies"], facts["actions"]) == (len(bundle.policies), len(bundle.catalog.actions))
    assert (facts["principals"], facts["findings_error"]) == (len(bundle.people.layers), 0)


def test_an_activation_says_what_changed(
    folder: Path, running: Components, caplog: pytest.LogCaptureFixture
) -> None:
    policies = folder / "bundle/policies"
    shutil.copy(policies / "aiart-read.json", policies / "new.json")
    edit(policies / "aiart-create.json", lambda tree: tree["statement"][0].update(sid="x"))
    edit(
        folder / "bundle/principals.json",
        lambda tree: tree["users"].update({"100000000999": {"name": "eve"}}),
    )
    edit(folder / "bundle/principals.json", lambda tree: tree["users"]["100000000101"].update(boundary="new"))
    edit(folder / "catalog/aiart.json", lambda tree: tree["actions"].pop())
    gone = json.loads((folder / "catalog/aiart.json").read_text())
    assert running.store.reload().result == "success"
    (_, text, facts), *_ = events_of(caplog)
    assert text == "bundle is in force"
    changed = {
        name: value
        for name, value in facts.items()
        if name.partition("_")[2] in {"added", "removed", "changed"}
    }
    (lost,) = changed.pop("actions_removed")
    assert lost.removeprefix("aiart:") not in {row["name"] for row in gone["actions"]}
    assert changed == {
        "policies_added": ["new"],
        "policies_changed": ["aiart-create"],
        "principals_added": ["uin/100000000999"],
        "principals_changed": ["uin/100000000101"],
    }
    (policies / "new.json").unlink()
    running.store.reload()
    (_, _, facts), *findings = events_of(caplog)
    assert facts["policies_removed"] == ["new"]
    warned = [(level, facts["where"], facts["code"]) for level, _, facts in findings]
    assert warned == [("WARNING", "principals.json#/users/100000000101", "CG602")]


def test_a_failure_is_logged_once_and_its_end_too(
    folder: Path, running: Components, caplog: pytest.LogCaptureFixture
) -> None:
    policy = folder / "bundle/policies/aiart-create.json"
    good = policy.read_text()
    for again in (good, good.replace("10.1.0.0/16", "10.77.0.0/16")):
        policy.write_text("{")
        for _ in range(3):
            running.store.reload()
        (level, text, facts), (_, _, problem) = events_of(caplog)
        assert (level, facts["problems"]) == ("ERROR", 1)
        assert text.startswith("bundle cannot be loaded; revision ")
        assert problem["where"].startswith("policies/aiart-create.json")
        policy.write_text(again)
        for _ in range(3):
            running.store.reload()
        ((level, text, _),) = events_of(caplog)
        expected = "is good again and unchanged" if again == good else "is in force after a failure"
        assert (level, text) == ("INFO", f"bundle {expected}")


KEYS = [
    pytest.param({ONE: {}, TWO: {}}, {"keys_added": [TWO_SHOWN]}, 2, id="a key is added"),
    pytest.param({}, {"keys_removed": [ONE_SHOWN]}, 0, id="a key is removed"),
    pytest.param({ONE: {"enabled": False}}, {"keys_disabled": [ONE_SHOWN]}, 0, id="a key is disabled"),
    pytest.param({ONE: {"secret_key": SECRET[::-1]}}, {"keys_changed": [ONE_SHOWN]}, 1, id="a secret is new"),
    pytest.param(
        {ONE: {"principal": "uin/100000000102"}}, {"keys_changed": [ONE_SHOWN]}, 1, id="another owner"
    ),
]


@pytest.mark.parametrize(("keys", "changes", "total"), KEYS)
def test_a_change_of_keys_names_them(
    folder: Path,
    running: Components,
    caplog: pytest.LogCaptureFixture,
    keys: dict[str, Any],
    changes: dict[str, Any],
    total: int,
) -> None:
    write_keys(folder, **keys)
    running.store.reload()
    ((level, text, facts),) = events_of(caplog)
    assert (level, text) == ("INFO", "keys are in use")
    assert facts == {"file": str(folder / "keys.json"), "total": total, **changes}


def test_keys_that_fail_recover(folder: Path, running: Components, caplog: pytest.LogCaptureFixture) -> None:
    good = (folder / "keys.json").read_text()
    (folder / "keys.json").write_text("{")
    running.store.reload()
    (level, text, _), (_, _, problem) = events_of(caplog)
    assert (level, text) == ("ERROR", "keys cannot be loaded; the last good keys stay in use, none is added")
    assert problem["where"].startswith(str(folder / "keys.json"))
    (folder / "keys.json").write_text(good)
    running.store.reload()
    ((level, text, _),) = events_of(caplog)
    assert (level, text) == ("INFO", "keys are in use after a failure")


def test_keys_of_nobody_are_warned_of_once(
    folder: Path, running: Components, caplog: pytest.LogCaptureFixture
) -> None:
    write_keys(folder, **{TWO: {"principal": "uin/100000000888"}})
    for _ in range(3):
        running.store.reload()
    _, (level, text, facts) = events_of(caplog)
    assert level == "WARNING"
    assert f"{TWO_SHOWN} belongs to uin/100000000888, which principals.json does not have" in text
    assert facts == {"where": f"{folder}/keys.json#/{TWO_SHOWN}/principal", "code": "KeysError"}


def test_an_edit_of_the_settings_is_logged_once(
    folder: Path, running: Components, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "camguard.toml"
    start = file.read_text()

    def after(content: str) -> list[tuple[str, str, dict[str, Any]]]:
        file.write_text(content)
        for _ in range(3):
            running.store.reload()
        return events_of(caplog)

    ((level, text, facts),) = after(start.replace("poll_seconds = 2.0", "poll_seconds = 5.0"))
    assert (level, facts["settings"]) == ("WARNING", ["policy.poll_seconds"])
    assert "restarted" in text
    ((level, _, _),) = after(start + "\n# a comment\n")
    assert level == "INFO"
    (level, text, _), (_, _, problem) = after(start.replace("poll_seconds", "pol_seconds"))
    assert (level, problem["where"]) == ("ERROR", "camguard.toml#/policy/pol_seconds")
    ((level, text, _),) = after(start)
    assert (level, text) == ("INFO", "the settings file is again as it was at the start")
    file.unlink()
    running.store.reload()
    ((level, text, _),) = events_of(caplog)
    assert (level, text) == ("WARNING", "the settings file cannot be read; a restart would fail")


def test_the_start_says_which_files_are_watched(
    folder: Path, running: Components, caplog: pytest.LogCaptureFixture
) -> None:
    watched = {
        "bundle": str(folder / "bundle"),
        "catalog": str(folder / "catalog"),
        "keys": str(folder / "keys.json"),
        "settings": str(folder / "camguard.toml"),
        "poll_seconds": 2.0,
    }
    running.start()
    running.stop()
    assert ("INFO", "these files are watched for changes", watched) in events_of(caplog)
    open_store(running.settings, read_source(folder / "camguard.toml", QUIET))
    assert ("INFO", "these files are watched for changes", watched) in events_of(caplog)


def test_many_names_are_listed_up_to_a_bound() -> None:
    names = [f"{number:02}" for number in range(LISTED + 3)]
    assert listed(reversed(names)) == [*names[:LISTED], "and 3 more"]
    assert listed(names[:LISTED]) == names[:LISTED]


def test_the_changes_of_a_bundle_are_names_in_order() -> None:
    before, after = {"d": 1, "c": 1, "b": 1, "a": 1}, {"e": 1, "c": 2, "b": 1, "a": 2, "f": 1}
    found = changes("policies", before, after)
    assert found == {
        "policies_added": ["e", "f"], "policies_removed": ["d"], "policies_changed": ["a", "c"],
    }  # fmt: skip


@pytest.mark.heavy
@pytest.mark.usefixtures("no_collection")
def test_calls_go_on_while_large_bundles_are_compared() -> None:
    """An operation on whole sets takes a ninth of this work in one step, however many names there are."""
    before = {f"uin/{number}": 1 for number in range(4000)}
    after = {f"uin/{number}": 1 for number in range(10, 4010)}
    assert longest_step(lambda: changes("x", before, after)) < 0.08
    assert longest_step(lambda: (changes("x", before, after), before.keys() - after.keys())) > 0.08
