"""What the README shows is true of this checkout: every fenced block is run, or compared with what is."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from camguard.authn.credentials import parse_keys
from camguard.catalog.known_services import read_known_services
from camguard.cli import main
from camguard.engine.principals import Principals, read_principals
from camguard.exit_codes import Exit
from camguard.telemetry.log_line import KEYS
from tests.readme import FENCES, README, TEXT, USED_BY, block, with_tables
from tests.test_middleware import alive

CALL = {
    "content-type": "application/json",
    "x-tc-action": "TextToImage",
    "x-tc-version": "2022-12-29",
    "x-camguard-principal": "uin/100000000101",
}


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
    app = run(block("python", "Starlette("))["app"]

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
    run(block("python", "load_bundle"))
    assert capsys.readouterr().out.splitlines()[-1] == "allowed ('aiart-create#0',)"


def test_the_policy_test(checkout: Path) -> None:
    (checkout / "mine.toml").write_text(block("toml", "[[test]]"))
    assert main(["test", "mine.toml"]) == 0


def test_the_invariants(checkout: Path) -> None:
    (checkout / "mine.toml").write_text(block("toml", "[[invariant]]"))
    assert main(["test", "mine.toml"]) == 0


def test_an_invariant_that_does_not_hold(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = 'principal_outside = "owner", ip_outside = ["10.1.8.0/22", "2001:db8:1:800::/56"]'
    (checkout / "floor.toml").write_text(
        'now = 2026-12-01T09:00:00Z\n[[invariant]]\nname = "money moves on the finance floor only"\n'
        f'never = {{action = "intlpartnersmgt:PayOrders", {limits}}}\n'
    )
    assert main(["test", "floor.toml"]) == 4
    assert f"$ camguard test floor.toml\n{capsys.readouterr().out}" == block("console", "floor.toml")


@pytest.mark.usefixtures("checkout")
def test_the_mutation(capsys: pytest.CaptureFixture[str]) -> None:
    shown = block("console", "--policy bills-read")
    command, _, lines = shown.partition("\n")
    assert main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out == lines


def test_the_acceptance(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepting = re.sub(r"(?<=expires = )[0-9-]+", "9999-12-31", block("toml", "[[accept]]"))
    (checkout / "config/bundle/lint.toml").write_text(accepting)
    assert main(["lint", "--select", "CG5,CG7"]) == 0
    assert "1 accepted" in capsys.readouterr().out


def test_the_finding(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deny = {"effect": "deny", "action": "aiart:TextToImages", "resource": "*"}
    lock = json.dumps({"version": "2.0", "statement": [deny]})
    (checkout / "config/bundle/policies/lock.json").write_text(lock)
    assert main(["lint", "--fail-on", "error"]) == 5
    printed = capsys.readouterr().out.replace("config/", "")
    assert block("text", "[CG201]") in printed


@pytest.mark.usefixtures("checkout")
def test_who_can_and_from_where(capsys: pytest.CaptureFixture[str]) -> None:
    shown = block("console", "camguard who-can")
    printed = ""
    for command in re.findall(r"^\$ (camguard .*)$", shown, re.MULTILINE):
        assert main(shlex.split(command)[1:]) == 0
        printed += f"$ {command}\n{capsys.readouterr().out}"
    assert printed == shown


def test_what_a_change_opens(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(name: str, file: str, old: str, new: str) -> None:
        path = Path(shutil.copytree("config/bundle", name)) / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    people = "principals.json"
    edit("widened", "policies/aiart-create.json", '"10.1.0.0/16"', '"10.0.0.0/8"')
    edit("opened", people, '"full-access", "admins-from-office-only"', '"full-access"')
    edit("extended", people, '"bruno", "groups": ["artists"]', '"bruno", "groups": ["artists", "art-leads"]')
    file = Path(shutil.copytree("config/catalog", "new-catalog")) / "aiart.json"
    catalog = json.loads(file.read_text())
    model = next(row for row in catalog["actions"] if row["name"] == "SetPayMode")
    file.write_text(
        json.dumps({**catalog, "actions": [*catalog["actions"], {**model, "name": "DeleteImages"}]})
    )
    assert checkout.is_dir()
    shown = block("console", "camguard diff config/bundle widened")
    printed = ""
    for line in shown.splitlines():
        if line.startswith("$ camguard "):
            assert main(shlex.split(line)[2:]) == 0
            printed += f"{line}\n{capsys.readouterr().out}"
        elif line.startswith("# "):
            printed += f"{line}\n"
    assert printed == shown
    assert len(shown.splitlines()) <= 40  # one screen


def test_every_verb_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    verbs = re.findall(r"^    ([a-z][\w-]*)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert {"check", "principals", "completion"} <= {*verbs}
    assert [verb for verb in verbs if f"| `camguard {verb}" not in TEXT] == []


# --- every block ----------------------------------------------------------------------------------------


def test_every_block_is_used_by_a_test() -> None:
    assert len(FENCES) * 2 == len(re.findall("^```", TEXT, re.MULTILINE))
    users = {code: [part for part in USED_BY if part in code] for _, code in FENCES}
    assert {code: parts for code, parts in users.items() if len(parts) != 1} == {}
    assert sorted(part for parts in users.values() for part in parts) == sorted(USED_BY)
    for user in filter(None, USED_BY.values()):
        file, _, name = user.partition("::")
        assert f"def {name}(" in (README.parent / "tests" / file).read_text(encoding="utf-8"), user


def test_every_link_into_the_page_has_its_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    assert [each for each in re.findall(r"\]\(#([\w-]+)\)", TEXT) if each not in anchors] == []
    files = re.findall(r"\]\(([\w./-]+)\)", TEXT)
    assert [name for name in files if not (README.parent / name).exists()] == []


def test_the_two_commands() -> None:
    for target in re.findall(r"^make (\w+)", block("sh", "make run"), re.MULTILINE):
        make = ["make", "--dry-run", "--directory", str(README.parent), target]
        subprocess.run(make, check=True, capture_output=True)


# --- the reference --------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_code() -> None:
    assert with_tables(TEXT) == TEXT, "write them: python -m tests.readme"


def section(heading: str) -> str:
    start = TEXT.index(f"\n{heading}\n")
    return TEXT[start : TEXT.index("\n#", start + 1)]


def test_the_exit_codes() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("### Command line"), re.MULTILINE)
    assert [int(code) for code in codes] == [*map(int, Exit), 130]


def test_the_keys_of_the_decision_log() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("### The decision log"), re.MULTILINE)
    assert sorted(re.findall("`(\\w+)`", " ".join(rows))) == sorted(KEYS)


def test_the_files(checkout: Path) -> None:
    for line in block("text", "camguard.toml              settings").splitlines()[1:]:
        name, about = line.split(maxsplit=1)
        found = [*(checkout / "config").glob(re.sub("<.*?>", "*", name))]
        assert found or about.startswith("optional: "), name


def test_the_file_of_principals() -> None:
    people = read_principals(json.loads(block("json", '"groups": {"artists"')), "principals.json")
    assert isinstance(people, Principals), people


def test_the_file_of_keys() -> None:
    ring = parse_keys(block("json", '"session_policy"').encode(), "keys.json")
    assert [len(ring.owned_by(name)) for name in ("uin/100000000101", "role/render-farm")] == [1, 1]


def test_the_known_services() -> None:
    read_known_services(block("json", '"toybox"').encode(), "services.json")
