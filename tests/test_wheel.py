"""The wheel, installed where nothing else is: it carries all that `camguard init` writes."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.readme import block
from tests.running import PATIENCE

pytestmark = pytest.mark.heavy

ALICE = ("--principal", "alice", "--action", "aiart:TextToImage")
RUNTIME = {"camguard-gateway", "starlette", "cachetools", "prometheus-client"}
# What an installer brings, what starlette needs.
BESIDE = {"pip", "setuptools", "anyio", "idna", "sniffio", "typing-extensions"}


def output(argv: Sequence[str | Path], environ: Mapping[str, str] | None = None, code: int = 0) -> str:
    """Run a program in no folder of ours and return what it printed."""
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", env=environ, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository that also holds keys, as a checkout after `make run` does."""
    copy = tmp_path_factory.mktemp("source") / "camguard"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "keys.json")
    shutil.copytree(repository, copy, ignore=unwanted)
    shutil.copytree(repository / "config/bundle/tests", copy / "config/bundle/tests")
    (copy / "config/keys.json").write_text("{}")
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the copy."""
    out = tmp_path_factory.mktemp("wheel")
    output([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source])
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a new environment with nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("plain")
    venv.create(folder, with_pip=True)
    output([folder / "bin/python", "-m", "pip", "install", "--quiet", wheel])
    return folder / "bin"


def test_no_key_is_packed(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert [name for name in names if "keys" in name and name.endswith(".json")] == [
        "camguard/_starter/keys.example.json"
    ]
    assert "camguard/_starter/requests.sh" in names
    assert "camguard/_starter/bundle/tests/art.toml" in names
    assert "camguard/_starter/catalog/aiart.json" in names
    assert "camguard/_starter/services.json" in names
    assert "camguard/py.typed" in names
    pages = {f"camguard/{page}.md" for page in ("policy/SEMANTICS", "request/THREATS", "request/CLIENTS")}
    assert pages <= {*names}, "comments cite them"


def test_the_distribution_has_a_name_of_its_own(wheel: Path, repository: Path) -> None:
    assert wheel.name in (repository / "README.md").read_text(encoding="utf-8")
    archive = ZipFile(wheel)
    (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    facts = email.message_from_bytes(archive.read(path))
    assert facts["Name"] == "camguard-gateway"
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Author"] or facts["Author-email"]
    assert "Typing :: Typed" in facts.get_all("Classifier", [])
    assert facts.get_payload(), "the description is the README"


def test_three_packages_are_enough(plain: Path) -> None:
    rows = json.loads(output([plain / "pip", "list", "--format", "json"]))
    names = {row["name"].lower().replace("_", "-") for row in rows}
    assert RUNTIME <= names <= RUNTIME | BESIDE
    unwanted = {"uvicorn", "httptools", "uvloop"}
    script = f"import camguard, sys; print(*{unwanted!r} & {{*sys.modules}})"
    assert output([plain / "python", "-c", script]).strip() == ""


def test_init_and_check_work(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "camguard"
    output([plain / "camguard", "init", folder])
    assert (folder / "keys.json").stat().st_mode & 0o777 == 0o600
    config = ("--config", str(folder / "camguard.toml"))
    check = (plain / "camguard", "check", *config, *ALICE)
    assert output([*check, "--ip", "10.1.2.3"]).startswith("ALLOW")
    assert output([*check, "--ip", "192.0.2.1"], code=6).startswith("DENY")
    assert "all passed" in output([plain / "camguard", "test", *config])


def test_serve_without_its_extra_says_what_to_install(plain: Path, tmp_path: Path) -> None:
    output([plain / "camguard", "init", tmp_path / "camguard"])
    argv = [str(plain / "camguard"), "serve", "--config", str(tmp_path / "camguard/camguard.toml")]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode not in (0, 2)
    assert "distribution camguard-gateway" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_of_the_readme_build_install_and_serve(
    source: Path, tmp_path: Path, free_ports: tuple[int, int]
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    folder, listen, admin = tmp_path / "camguard", *free_ports
    *commands, serve = block("sh", "pip wheel").replace("/etc/camguard", str(folder)).splitlines()
    environ = {
        **os.environ,
        "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}",
        "CAMGUARD_GATEWAY__LISTEN": f"127.0.0.1:{listen}",
        "CAMGUARD_GATEWAY__ADMIN": f"127.0.0.1:{admin}",
        "CAMGUARD_DECISION_LOG__PATH": str(tmp_path / "decisions.jsonl"),
    }
    bash = ["/bin/bash", "-ec", "\n".join(commands)]
    done = subprocess.run(bash, cwd=source, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "good: revision" in done.stdout
    with subprocess.Popen(["/bin/bash", "-c", f"exec {serve}"], cwd="/", env=environ) as server:
        try:
            wait_for(f"http://127.0.0.1:{admin}/-/ready")
            assert "Error" not in ask(listen, "10.1.2.3")
            assert ask(listen, "192.0.2.1")["Error"]["Code"] == "AuthFailure.UnauthorizedOperation"
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0


def wait_for(url: str, seconds: float = PATIENCE) -> None:
    """Return once a URL answers 200."""
    until = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()  # noqa: S310 - loopback
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until, f"{url} did not answer"
            time.sleep(0.1)
        else:
            return


def ask(port: int, address: str) -> dict[str, dict[str, str]]:
    """Send alice's TextToImage as her front proxy would, and return the answer's `Response`."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/",
        b'{"Prompt": "a lighthouse"}',
        {
            "Host": "aiart.tencentcloudapi.com",
            "Content-Type": "application/json",
            "X-TC-Action": "TextToImage",
            "X-TC-Version": "2022-12-29",
            "X-TC-Region": "ap-guangzhou",
            "X-Camguard-Principal": "uin/100000000101",
            "X-Forwarded-For": address,
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        response: dict[str, dict[str, str]] = json.loads(answer.read())["Response"]
    return response
