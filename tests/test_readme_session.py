"""The README from the first allow to the metrics, pasted into one shell beside a running gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from camguard.catalog import Access, Action, Granularity
from tests.catalog_import import shapes
from tests.readme import FENCES, SESSION, USED_BY, block
from tests.running import running

# What the blocks of one session print, as it is in every run.
CHANGING = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"),
    (r"(?<=revision  )[0-9a-f]{12}", "<revision>"),
    (r"AKID..….{4}", "<key>"),
]


def steady(printed: str) -> list[str]:
    for pattern, name in CHANGING:
        printed = re.sub(pattern, name, printed)
    return printed.splitlines()


def shows(expected: str, printed: str) -> bool:
    """Return whether the lines were printed in this order; `…` stands for any lines."""
    rest = iter(steady(printed))
    return all(line in rest for line in steady(expected) if line.strip() != "…")


def site_packages(folder: Path) -> None:
    """Write an SDK and a command line client of one action each, as an environment has them."""
    packages = folder / ".venv/lib/python3.11/site-packages"
    client = packages / "tencentcloud/toy/v20200101/toy_client.py"
    client.parent.mkdir(parents=True)
    client.write_text(
        "class ToyClient:\n"
        "    _endpoint = 'toy.tencentcloudapi.com'\n"
        "    def BreakToy(self, request):\n"
        "        pass\n"
    )
    commands = packages / "tccli/services/doll/v20200101/api.json"
    commands.parent.mkdir(parents=True)
    commands.write_text(json.dumps({"metadata": {"serviceShortName": "doll"}, "actions": {"BreakDoll": {}}}))


def programs(folder: Path) -> None:
    """Write the environment of `make run`: the command `camguard`, and the script that makes it known."""
    binary = folder / ".venv/bin"
    binary.mkdir(parents=True)
    (binary / "activate").write_text(f"PATH={binary}:$PATH\n")
    (binary / "camguard").write_text(f"#!{sys.executable}\nfrom camguard.cli import run\nrun()\n")
    (binary / "camguard").chmod(0o755)


def test_the_blocks_do_what_they_show(tmp_path: Path) -> None:
    """Everything from the first allow to the metrics is pasted into one shell, beside a running gateway."""
    programs(tmp_path)
    site_packages(tmp_path)
    row = Action(
        "lighthouse", "TerminateInstances", Access.WRITE, Granularity.OPERATION, ("*",), ip_restriction=True
    )
    page = shapes.html(replace(shapes.TOYS, name="lighthouse", actions={row.name: row}))
    (tmp_path / "lighthouse.html").write_text(page, encoding="utf-8")
    mine = [
        code
        for kind, code in FENCES
        if kind == "sh" and any(part in code for part, user in USED_BY.items() if user == SESSION)
    ]
    log = str(tmp_path / "decisions.log")
    with running(tmp_path / "config", DECISION_LOG__PATH=log, POLICY__POLL_SECONDS="0.5") as gateway:
        script = "".join(f"{code}echo '=== end'\n" for code in mine)
        script = script.replace(":8080", f":{gateway.calls}").replace(":9464", f":{gateway.admin}")
        ran = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        activation = next(line for line in gateway.stderr_lines if "policies_added=" in line)
    printed = dict(zip(mine, ran.stdout.split("=== end\n"), strict=False))
    assert len(printed) == len(mine) == 10, ran.stderr
    surprises = [
        line for line in ran.stderr.splitlines() if not line.startswith(("note: ", "the log has no tags"))
    ]
    assert surprises == []

    def after(part: str) -> str:
        return printed[block("sh", part)]

    assert shows(block("text", '{"Response": {"Echo": true,'), after('"X-TC-Action: $1"'))
    assert shows(block("text", "DENY  no_allow in"), after("--ip 198.51.100.7 --explain\n"))
    assert shows(block("text", "ANSWERED"), after("camguard call --key"))
    own = after("policies/hairstyles-from-home.json")
    assert "15 policies: 0 errors" in own
    assert "by        hairstyles-from-home#0" in own
    assert '"Action": "ChangeHairstyle"' in own
    assert "policies_added=hairstyles-from-home" in activation
    tested = after("tests/hairstyles.toml")
    assert (
        "hairstyles.toml: [[test]] 1 'artists change hairstyles from home, and nobody else does' (2" in tested
    )
    assert tested.endswith(": all passed\n")
    assert after("--names names.txt").count("ALLOW  allowed") == 1
    assert {"toy.json", "doll.json"} <= {path.name for path in (tmp_path / "config/catalog").iterdir()}
    assert "config/catalog/lighthouse.json" in after("lighthouse.html")
    assert "DENY  explicit_deny" in after("lighthouse.html")
    assert "aiart-settings-locked#0" in after("lighthouse.html")
    for part in ("DENY  no_allow", "nearest ways to allow", "means     No statement"):
        assert part in after("--log decisions.log")
    watched = after("/-/reload")
    assert re.search(r'^camguard_decisions_total\{.*reason="allowed".*\} [1-9]', watched, re.MULTILINE)
    ready, reloaded = map(json.loads, watched.splitlines()[-2:])
    assert ready == {"ready": True, "missing": [], "failing": []}
    assert reloaded["result"] == "unchanged"
    told = re.findall(r" (\w+)=", block("text", "policies_changed"))
    changes = re.compile("(policies|principals|actions)_(added|removed|changed)")
    facts = re.findall(r" (\w+)=", activation)
    assert [key for key in told if key not in facts and not changes.fullmatch(key)] == []
