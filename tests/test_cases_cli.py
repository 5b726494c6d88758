"""The cases as calls of `camguard check`, where its options can express them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from camguard.exit_codes import Exit
from camguard.policy.keys import OWN
from tests.casebook import DecisionCase, catalogs, decision_cases

CASES = decision_cases()


def has_options(call: dict[str, Any]) -> bool:
    """Tell whether arguments can say a call.

    What has none: no time, a session, a key supplied as absent, no resource or an unbound one, and a context
    that speaks of what other arguments say.
    """
    return (
        not any(key.partition("/")[0] in OWN for key in call["context"] or {})
        and call["time"] is not None
        and call["session"] is None
        and bool(call["resources"])
        and None not in call["resources"]
        and all((call["context"] or {"": "x"}).values())
    )


def arguments(call: dict[str, Any]) -> Iterator[str]:
    """A call as arguments."""
    yield from (f"--principal={call['principal']}", f"--action={call['action']}", f"--time={call['time']}")
    if call["source_ip"] is not None:
        yield f"--ip={call['source_ip']}"
    yield from (f"--resource={resource}" for resource in call["resources"])
    for name, option in (("resource_tags", "tag"), ("request_tags", "request-tag")):
        if call[name] == {}:
            yield f"--no-{option}s"
        yield from (f"--{option}={key}={value}" for key, value in (call[name] or {}).items())
    for key, values in (call["context"] or {}).items():
        yield from (f"--context={key}={value}" for value in values)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of the cases, as files."""
    folder = tmp_path_factory.mktemp("catalog")
    for name, product in catalogs()["main"].items():
        (folder / f"{name}.json").write_text(json.dumps(product), encoding="utf-8")
    (folder / "services.json").write_text(json.dumps(catalogs()["known"]), encoding="utf-8")
    return folder


def write_bundle(folder: Path, case: DecisionCase) -> None:
    (folder / "policies").mkdir(parents=True)
    for name, text in case.policies.items():
        (folder / "policies" / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / "principals.json").write_text(json.dumps(case.principals), encoding="utf-8")
    if case.inventory is not None:
        (folder / "resource_tags.json").write_text(json.dumps(case.inventory), encoding="utf-8")


@pytest.mark.heavy
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case.rule} {case.id}")
        for case in CASES
        if case.policies and has_options(case.call)
    ],
)
def test_check_prints_the_same(
    case: DecisionCase, catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(tmp_path / "bundle", case)
    settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in case.settings.items())
    (tmp_path / "camguard.toml").write_text(f"[enforcement]\n{settings}", encoding="utf-8")
    where = (
        f"--config={tmp_path / 'camguard.toml'}",
        f"--bundle={tmp_path / 'bundle'}",
        f"--catalog={catalog}",
    )
    code = main(["check", *where, *arguments(case.call), "--format=json"])
    out, err = capsys.readouterr()
    assert code in {Exit.OK, Exit.DENY}, err
    report = json.loads(out)
    assert (report["reason"], tuple(report["statements"])) == (case.reason, case.statements)
    assert report["decision"] == case.decision
    assert code == (Exit.OK if case.decision == "allow" else Exit.DENY)


def test_most_cases_can_be_written_as_options() -> None:
    assert sum(has_options(case.call) for case in CASES) > len(CASES) * 0.8
