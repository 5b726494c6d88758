"""From settings to parts: what raises, what is repaired while the parts run, and what is logged."""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from camguard import Call
from camguard.errors import SettingsError
from camguard.reload_log import NAMED
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
    assert parts.guard.conclusions == (parts.metrics.answers.conclude,)
    assert parts.candidate is None
    text = parts.metrics.render().decode()
    assert 'camguard_requests_in_flight{listener="gateway"} 0.0' in text
    parts.guards["authorizer"].in_flight = 3
    assert 'camguard_requests_in_flight{listener="authorizer"} 3.0' in parts.metrics.render().decode()
    assert 'camguard_requests_waiting{listener="gateway"} 0.0' in text


def test_a_log_is_concluded_to_where_there_is_one(folder: Path) -> None:
    parts = assemble(settings(folder, decision_log__path="log"))
    assert parts.guard.conclusions == (parts.metrics.answers.conclude, parts.log.conclude)


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
        pytest.param(
            {"policy__source": "https://127.0.0.1:1/b.tar.gz", "policy__verify_key_file": "missing.key"},
            id="no key to verify a bundle with",
        ),
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
    assert len(messages) == 2
    assert good.revision[:12] in messages[0]
    assert "where=policies/aiart-full.json" in messages[1]


def test_t131_a_keys_file_that_breaks_is_told_by_metrics_and_refuses_signed_calls_in_time(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = assemble(settings(folder, identity__keys_max_age_seconds="0.05"))
    assert parts.keys is not None
    before = parts.metrics.snapshot()
    assert before["camguard_keys_last_reload_successful"] == {(): 1}
    assert before["camguard_keys"]["enabled",] == len(parts.keys.keys)
    (folder / "keys.json").write_text("{")
    parts.store.reload()
    after = parts.metrics.snapshot()
    assert after["camguard_keys_last_reload_successful"] == {(): 0}
    confirmed = "camguard_keys_last_success_timestamp_seconds"
    assert (after["camguard_keys"], after[confirmed]) == (before["camguard_keys"], before[confirmed])
    assert "the last good keys stay in use" in caplog.text
    time.sleep(0.06)
    assert parts.keys.stale
    (folder / "keys.json").write_text("{}")
    (folder / "keys.json").chmod(0o666)
    parts.store.reload()
    assert f"{before['camguard_keys']['enabled',]} keys that the file does not hold" in caplog.text
    assert len(parts.keys.keys) == 0


def test_keys_are_looked_at_whenever_policies_are(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T82: a key that is taken away is gone after one look."""
    parts = assemble(settings(folder))
    assert parts.keys is not None
    before = parts.keys.keys
    write_keys(folder, {})
    with caplog.at_level(logging.INFO, "camguard"):
        parts.store.reload()
    assert parts.keys.keys is not before
    assert "keys are in use" in caplog.text
    (folder / "keys.json").write_text("{")
    parts.store.reload()
    assert "the last good keys stay in use" in caplog.text
    assert KEYS["AKIDEXAMPLE"]["secret_key"] not in caplog.text


DENY = {"version": "2.0", "statement": [{"effect": "deny", "action": "aiart:TextToImages", "resource": "*"}]}
ENTRY = """[[accept]]
code = "CG201"
policy = "{}"
statement = 0
reason = "the action is announced"
expires = 9999-12-31
"""


def test_dec_55_an_activation_logs_its_findings_and_names_the_errors_that_it_brought(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "camguard"):
        parts = assemble(settings(folder))
        assert "findings_error=0 findings_warning=2 findings_style=1 findings_accepted=0" in caplog.text
        for name, brought in (("one", ["one"]), ("two", ["two"])):
            caplog.clear()
            (folder / f"bundle/policies/{name}.json").write_text(json.dumps(DENY))
            outcome = parts.store.reload()
            assert outcome.result == "success"
            wheres = [f"policies/{each}.json#/statement/0/action" for each in brought]
            assert [finding.where for finding in outcome.new_errors] == wheres
            named = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
            assert [line.rpartition(": ")[2] for line in named] == [
                f"where={each} code=CG201" for each in wheres
            ]
            assert "(did you mean aiart:TextToImage?)" in named[0]
        caplog.clear()
        (folder / "bundle/lint.toml").write_text(ENTRY.format("one") + ENTRY.format("two"))
        assert parts.store.reload().new_errors == ()
        assert "findings_error=0 findings_warning=4 findings_style=1 findings_accepted=2" in caplog.text
        assert {record.levelno for record in caplog.records} == {logging.INFO}
    text = parts.metrics.render().decode()
    assert 'camguard_policy_findings{severity="error"} 0.0' in text
    assert 'camguard_policy_findings{severity="warning"} 4.0' in text
    assert 'camguard_policy_findings{severity="style"} 1.0' in text


def test_dec_55_many_errors_are_named_up_to_a_bound(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    deny = {**DENY["statement"][0], "action": [f"aiart:TextToImages{i}" for i in range(NAMED + 2)]}  # type: ignore[dict-item]
    (folder / "bundle/policies/one.json").write_text(json.dumps({"version": "2.0", "statement": [deny]}))
    assemble(settings(folder))
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == NAMED + 1
    assert lines[-1] == 'bundle: finding: and 2 more: advice="`camguard lint` lists all of them"'


def test_dec_55_a_strict_gateway_keeps_the_last_bundle(folder: Path) -> None:
    parts = assemble(settings(folder, policy__strict="true"))
    good = parts.store.bundle
    assert good is not None
    (folder / "bundle/policies/one.json").write_text(json.dumps(DENY))
    outcome = parts.store.reload()
    assert (outcome.result, [problem.code for problem in outcome.problems]) == ("failure", ["CG201"])
    assert parts.store.bundle is good
    (folder / "bundle/lint.toml").write_text(ENTRY.format("one"))
    assert parts.store.reload().result == "success"


def test_an_acceptance_holds_on_the_day_that_the_clock_shows(folder: Path) -> None:
    (folder / "bundle/policies/one.json").write_text(json.dumps(DENY))
    (folder / "bundle/lint.toml").write_text(ENTRY.format("one").replace("9999-12-31", "2026-06-30"))
    for moment, accepted in ((1782863999.0, 1), (1782864000.0, 0)):  # the last second of the day, in UTC
        bundle = assemble(settings(folder), clock=lambda moment=moment: moment).store.bundle  # type: ignore[misc]
        assert bundle is not None
        assert bundle.findings is not None
        assert bundle.findings.counts()["accepted"] == accepted


def test_policies_that_can_grant_nothing_are_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = folder / "bundle/policies/idle.json"
    policy.write_text(document({"action": "cvm:*"}))
    with caplog.at_level(logging.INFO, "camguard"):
        store = assemble(settings(folder)).store
        policy.write_text(document({"action": "cvm:Stop*"}))
        store.reload()
    (event,) = [each.getMessage() for each in caplog.records if "can grant nothing" in each.getMessage()]
    assert event.endswith('policy=idle why="no page: cvm"')


# a test of the bundle, the problem that keeps the bundle from being activated
TESTS = [
    pytest.param(None, None, id="tests that pass"),
    pytest.param(
        "now = 2026-11-22T09:00:00Z\n"
        '[[test]]\nname = "x"\nprincipals = ["alice"]\nactions = ["aiart:TextToImage"]\n'
        'ips = ["198.51.100.1"]\ndefault = "allow"\n',
        "expected allow, got deny (no_allow)",
        id="a call that is decided otherwise",
    ),
    pytest.param("[[test]\n", "is not TOML", id="a file that is no test"),
]


@pytest.mark.parametrize(("text", "problem"), TESTS)
def test_a_bundle_is_activated_only_if_its_tests_pass(
    folder: Path, text: str | None, problem: str | None
) -> None:
    if text is not None:
        (folder / "bundle/tests/art.toml").write_text(text)
    assert assemble(settings(folder)).store.bundle is not None
    store = assemble(settings(folder, policy__run_tests="true")).store
    if problem is None:
        assert store.bundle is not None
        (folder / "bundle/tests/art.toml").write_text("[[test]\n")
        assert store.reload().result == "failure", "a change of the tests alone is noticed"
        assert store.bundle is not None
    else:
        assert store.bundle is None
        assert problem in " ".join(map(str, store.reload().problems))


def test_a_bundle_without_tests_is_not_activated_where_tests_must_pass(folder: Path) -> None:
    shutil.rmtree(folder / "bundle/tests")
    store = assemble(settings(folder, policy__run_tests="true")).store
    assert [each.code for each in store.reload().problems] == ["TestFailed"]
