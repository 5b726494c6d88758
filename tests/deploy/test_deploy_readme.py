"""config/deploy/README.md: every file is described, every block is run or says why not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.front import DEPLOY
from tests.running import ROOT

README = DEPLOY / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHELL = "/bin/sh"
RUN, ELSEWHERE, NOT_RUN = "# run by a test, in a checkout", "# run by a test", "# not run: it "
# What somebody has made before, by a build or by another block.
MADE = {
    "dist/camguard_gateway-0.1.0-py3-none-any.whl",
    "etc/camguard.toml",
    "etc/keys.json",
    "manifests.yaml",
}


def title(block: str) -> str:
    return " / ".join(block.splitlines()[:2])


def test_the_blocks_are_of_one_of_three_kinds() -> None:
    heads = [block.splitlines()[0] for block in BLOCKS]
    assert len(heads) == len(re.findall("^```sh", TEXT, re.MULTILINE)) == 9
    assert all(head.startswith((ELSEWHERE, NOT_RUN)) for head in heads)
    assert heads.count(RUN) == 2


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_a_block_is_shell_and_its_files_exist(block: str) -> None:
    subprocess.run([SHELL, "-n"], input=block, text=True, check=True)
    named = re.findall(r"(?<![\w/.-])(?:config|dist|etc)/[\w./-]+|\bmanifests\.yaml", block)
    assert [name for name in named if name not in MADE and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.startswith(RUN)], ids=title)
def test_a_block_does_what_it_shows(block: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("keys.json"))
    programs = tmp_path / "bin"
    programs.mkdir()
    program = f"#!{sys.executable}\nfrom camguard.cli import run\nrun()\n"
    (programs / "camguard").write_text(program)
    (programs / "camguard").chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [SHELL, "-e"], input=block, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if "manifests.yaml" in block:
        kinds = [each["kind"] for each in yaml.safe_load_all((tmp_path / "manifests.yaml").read_text())]
        assert kinds.count("ConfigMap") == 3
    else:
        assert "good: revision" in done.stdout
        assert "all passed" in done.stdout


def test_every_file_is_in_the_table() -> None:
    described = set(re.findall(r"^\| `([\w.]+)/?` \|", TEXT, re.MULTILINE))
    there = {path.name for path in DEPLOY.iterdir()} - {README.name}
    assert described == there


TEXTS = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in {".md", ".pyc"}]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_no_file_uses_the_port_of_prometheus_for_camguard(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if "9090" in line and "prometheus:9090" not in line] == []


def test_gofmt_accepts_the_program_for_go() -> None:
    gofmt = shutil.which("gofmt")
    if gofmt is None:
        pytest.skip("Go is not installed")
    argv = [gofmt, "-l", str(DEPLOY / "sdk" / "call.go")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.heavy
def test_the_java_compiler_misses_nothing_but_the_sdk(tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("a Java compiler is not installed")
    argv = [
        "javac",
        "-proc:none",
        "-Xmaxerrs",
        "1000",
        "-d",
        str(tmp_path),
        str(DEPLOY / "sdk" / "Call.java"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    errors = set(re.findall(r"error: (.*)", done.stderr))
    packages = {"common", "common.exception", "common.profile"}
    missing = {f"package com.tencentcloudapi.{name} does not exist" for name in packages}
    assert errors == missing | {"cannot find symbol"}
    symbols = set(re.findall(r"symbol: +class (\w+)", done.stderr))
    sdk = {"CommonClient", "Credential", "TencentCloudSDKException", "ClientProfile", "HttpProfile"}
    assert symbols == sdk
