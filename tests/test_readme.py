"""What the README shows is true of this checkout."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from camguard.catalog import Access, Action, Granularity
from camguard.cli import main
from camguard.exit_codes import Exit
from tests.catalog_import import shapes
from tests.test_middleware import alive

README = Path(__file__).resolve().parents[1] / "README.md"
CALL = {
    "content-type": "application/json",
    "x-tc-action": "TextToImage",
    "x-tc-version": "2022-12-29",
    "x-camguard-principal": "uin/100000000101",
}


def blocks(language: str) -> list[str]:
    """Return the fenced code of one language."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with config/ in it as in a checkout, which is also the current one."""
    assert main(["init", str(tmp_path / "config")]) == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAMGUARD_DECISION_LOG__PATH", "")
    return tmp_path


def run(code: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102 - the README's own code
    return namespace


@pytest.mark.usefixtures("checkout")
def test_the_application(capsys: pytest.CaptureFixture[str]) -> None:
    app = run(next(code for code in blocks("python") if "Starlette(" in code))["app"]

    async def ask(address: str) -> dict[str, Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://aiart.tencentcloudapi.com"
        ) as client:
            answer = await client.post("/", content=b"{}", headers={**CALL, "x-forwarded-for": address})
        response: dict[str, Any] = answer.json()["Response"]
        return response

    async def scene() -> tuple[dict[str, Any], dict[str, Any]]:
        async with alive(app):
            return await ask("10.1.2.3"), await ask("192.0.2.1")

    allowed, refused = asyncio.run(scene())
    assert allowed["By"] == ["aiart-create#0"]
    assert refused["Error"]["Code"] == "AuthFailure.UnauthorizedOperation"
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("checkout")
def test_asking_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    run(next(code for code in blocks("python") if "load_bundle" in code))
    assert capsys.readouterr().out.splitlines()[-1] == "allowed ('aiart-create#0',)"


def test_the_policy_test(checkout: Path) -> None:
    (test,) = (block for block in blocks("toml") if "[[test]]" in block)
    (checkout / "mine.toml").write_text(test)
    assert main(["test", "mine.toml"]) == 0


def test_the_acceptance(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (accepting,) = (block for block in blocks("toml") if "[[accept]]" in block)
    accepting = re.sub(r"(?<=expires = )[0-9-]+", "9999-12-31", accepting)
    (checkout / "config/bundle/lint.toml").write_text(accepting)
    assert main(["lint", "--select", "CG5,CG7"]) == 0
    assert "1 accepted" in capsys.readouterr().out


def test_the_finding(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deny = {"effect": "deny", "action": "aiart:TextToImages", "resource": "*"}
    lock = json.dumps({"version": "2.0", "statement": [deny]})
    (checkout / "config/bundle/policies/lock.json").write_text(lock)
    assert main(["lint", "--fail-on", "error"]) == 5
    printed = capsys.readouterr().out.replace("config/", "")
    assert next(block for block in blocks("text") if "[CG201]" in block) in printed


def test_from_a_page_in_the_browser_to_a_working_deny(checkout: Path) -> None:
    (commands,) = [block for block in blocks("sh") if "lighthouse.html" in block]
    row = Action(
        "lighthouse", "TerminateInstances", Access.WRITE, Granularity.OPERATION, ("*",), ip_restriction=True
    )
    page = shapes.html(replace(shapes.TOYS, name="lighthouse", actions={row.name: row}))
    (checkout / "lighthouse.html").write_text(page, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    bash = ["/bin/bash", "-ec", commands]
    ran = subprocess.run(bash, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert "config/catalog/lighthouse.json (new)" in ran.stdout
    assert "explicit_deny" in ran.stdout
    assert "aiart-settings-locked#0" in ran.stdout
    assert ran.returncode == Exit.DENY, ran.stderr


@pytest.mark.usefixtures("checkout")
def test_who_can_and_from_where(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = [block for block in blocks("console") if "camguard who-can" in block]
    printed = ""
    for command in re.findall(r"^\$ (camguard .*)$", shown, re.MULTILINE):
        assert main(shlex.split(command)[1:]) == 0
        printed += f"$ {command}\n{capsys.readouterr().out}"
    assert printed == shown


def test_every_verb_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    verbs = re.findall(r"^    ([a-z][\w-]*)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    text = README.read_text(encoding="utf-8")
    assert {"check", "principals", "completion"} <= {*verbs}
    assert [verb for verb in verbs if f"| `camguard {verb}" not in text] == []
