"""The image and the compose file: their files exist, nothing runs as root, and every version is named."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from camguard.settings import load_settings
from tests.deploy.front import DEPLOY
from tests.running import PATIENCE, ROOT, environment, eventually, fetch

CONTAINERFILE = DEPLOY / "Containerfile"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
# What the operator puts next to the compose file before the first start.
BROUGHT = {"keys.json", "tls"}
VERSION = re.compile(r"[\w./-]+:v?\d+\.\d+[\w.-]*")


class Instruction(NamedTuple):
    """One instruction of a Containerfile. words: its arguments, split as a shell does."""

    stage: int
    name: str
    words: list[str]
    text: str


def instructions() -> list[Instruction]:
    """Return the instructions. stage: 0 for the first FROM."""
    found: list[Instruction] = []
    stage = -1
    for line in CONTAINERFILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, text = line.partition(" ")
            stage += name == "FROM"
            found.append(Instruction(stage, name, shlex.split(text), text))
    return found


def last(name: str) -> str:
    """Return the text of the instruction that is in force in the image."""
    return [each.text for each in instructions() if each.name == name and each.stage == 1][-1]


KNOWN = {*("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK")}


def test_the_image_is_not_of_root_and_of_a_named_version() -> None:
    found = instructions()
    assert {each.name for each in found} == KNOWN | {"ENTRYPOINT", "CMD"}
    assert [each.stage for each in found if each.name == "FROM"] == [0, 1]
    for each in found:
        if each.name == "FROM":
            assert VERSION.fullmatch(each.words[0]), each.text
            assert "latest" not in each.text
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER")), "a number: Kubernetes compares it with 0"
    assert [each.name for each in found if each.stage == 1].index("USER") > 0


def test_the_image_holds_no_key_and_what_it_copies_exists() -> None:
    copied = [each.words for each in instructions() if each.name == "COPY" and each.stage == 0]
    sources = {source for words in copied for source in words[:-1]}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert "config" not in sources, "it may hold keys.json"
    assert "config/keys.json" not in sources
    ours = [each.words for each in instructions() if each.name == "COPY" and each.stage == 1]
    assert ours == [["--from=build", "/opt/camguard", "/opt/camguard"]]


def test_the_image_is_built_from_all_that_the_wheel_includes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    files = [project["project"]["readme"], *project["project"]["license-files"], *wheel["packages"]]
    needed = {"pyproject.toml", *files, *wheel["force-include"]}
    copied = [each.words[:-1] for each in instructions() if each.name == "COPY" and each.stage == 0]
    assert {source for words in copied for source in words} == needed


def test_the_image_exposes_the_ports_of_the_settings() -> None:
    gateway = load_settings(ROOT / "config" / "camguard.toml", {}).gateway
    assert gateway.admin is not None
    assert last("EXPOSE") == f"{gateway.listen.port} {gateway.admin.port}"
    assert f"http://127.0.0.1:{gateway.admin.port}/-/ready" in last("HEALTHCHECK")


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


@pytest.mark.parametrize("name", sorted(services()))
def test_a_container_is_restricted_and_its_files_exist(name: str) -> None:
    service = services()[name]
    assert VERSION.fullmatch(service["image"]), "a version, not `latest`"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service.get("user", "1").split(":")[0] not in {"0", "root"}
    volumes = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"]
    for volume in service.get("volumes", ()):
        source, target, *options = volume.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            path = (COMPOSE.parent / source).resolve()
            assert path.exists() or Path(source).parts[0] in BROUGHT, source
            assert options == ["ro"]
        else:
            assert source in volumes


def test_the_parts_of_compose_fit_together(tmp_path: Path) -> None:
    found, compose = services(), yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    build = found["camguard"]["build"]
    assert (COMPOSE.parent / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert {name for each in found.values() for name in each["networks"]} == compose["networks"].keys()
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("deploy"))
    shutil.copyfile(DEPLOY / "camguard.toml", tmp_path / "config" / "camguard.toml")
    settings = load_settings(tmp_path / "config" / "camguard.toml", found["camguard"]["environment"])
    listen, admin = settings.gateway.listen, settings.gateway.admin
    assert admin is not None
    proxy = found["nginx"]["networks"]["calls"]["ipv4_address"]
    assert list(settings.client_ip.trusted_proxies.cidrs()) == [proxy]
    addresses = [each["networks"]["calls"]["ipv4_address"] for each in (found["camguard"], found["nginx"])]
    assert len(set(addresses)) == len(addresses)
    assert settings.identity.mode == "signature"
    folder = COMPOSE.parent
    assert f"server camguard:{listen.port};" in (folder / "camguard-upstream.conf").read_text()
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert prometheus["scrape_configs"][0]["static_configs"] == [{"targets": [f"camguard:{admin.port}"]}]
    (source,) = yaml.safe_load((folder / "datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    published = {name: each["ports"] for name, each in found.items() if "ports" in each}
    assert published == {"nginx": ["443:443"], "grafana": ["127.0.0.1:3000:3000"]}, (
        "nothing of camguard itself"
    )
    dashboards = {path.name for path in (ROOT / "config" / "grafana").glob("*.json")}
    assert dashboards == {v.split(":")[0].split("/")[-1] for v in found["grafana"]["volumes"] if ".json" in v}


# The file for one machine, and its twin for compose: they differ in the addresses and in the comment on top.
TWINS = [
    pytest.param("../prometheus/prometheus.yml", "compose/prometheus.yml", id="what Prometheus scrapes"),
    pytest.param(
        "../grafana/provisioning/datasources/prometheus.yml", "compose/datasource.yml", id="what Grafana asks"
    ),
    pytest.param("nginx/camguard-upstream.conf", "compose/camguard-upstream.conf", id="where nginx finds it"),
]
NAMES = re.compile(r"\b(camguard|prometheus|127\.0\.0\.1)(?=:\d)")


@pytest.mark.parametrize(("here", "twin"), TWINS)
def test_the_twins_of_compose_say_the_same(here: str, twin: str) -> None:
    def content(path: Path) -> list[str]:
        lines = (re.sub(r" *#.*", "", line) for line in path.read_text(encoding="utf-8").splitlines())
        return [NAMES.sub("HOST", line) for line in lines if line.strip()]

    assert content(DEPLOY / here) == content(DEPLOY / twin)


def test_prometheus_accepts_the_file_of_compose(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; .ci/run fetches it")
    shutil.copy(DEPLOY / "compose" / "prometheus.yml", tmp_path)
    shutil.copy(ROOT / "config" / "prometheus" / "rules.yml", tmp_path)
    argv = [promtool, "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.heavy
def test_the_commands_of_the_image_build_a_gateway_that_serves(tmp_path: Path) -> None:
    """Runs each RUN of the first stage in a folder with nothing but what the COPY instructions name."""
    source, opt, etc = tmp_path / "source", tmp_path / "opt", tmp_path / "etc"
    source.mkdir()

    def here(text: str) -> str:
        return text.replace("/opt/camguard", str(opt)).replace("/etc/camguard", str(etc))

    for each in instructions():
        if each.stage == 0 and each.name == "COPY":
            *names, target = each.words
            for name in names:
                path, place = ROOT / name, source / target
                if path.is_dir():
                    shutil.copytree(path, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, place)
        elif each.stage == 0 and each.name == "RUN":
            command = re.sub(r"^python ", f"{sys.executable} ", here(each.text))
            argv = ["sh", "-ec", command]
            done = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    program = json.loads(here(last("ENTRYPOINT")))
    subprocess.run([*program, "init", str(etc)], check=True, capture_output=True)
    shutil.copyfile(DEPLOY / "camguard.toml", etc / "camguard.toml")
    variables = dict(word.split("=", 1) for word in shlex.split(last("ENV")))
    argv = [*program, *json.loads(here(last("CMD")))]
    with subprocess.Popen(
        argv, cwd="/", env=environment({}) | variables, stderr=subprocess.PIPE, text=True
    ) as gateway:
        assert gateway.stderr is not None
        try:
            for line in gateway.stderr:
                if found := re.match(r"  admin +http://([^/]+)/", line):
                    break
            assert found is not None
            eventually(lambda: fetch(f"http://{found[1]}/-/ready")[0] == 200)
            probe = last("HEALTHCHECK").split("CMD ")[1].replace("127.0.0.1:9464", found[1])
            assert subprocess.run(json.loads(here(probe)), check=False).returncode == 0
            gateway.send_signal(signal.Signals[last("STOPSIGNAL")])
            assert gateway.wait(PATIENCE) == 0
            failed = subprocess.run(json.loads(here(probe)), stderr=subprocess.DEVNULL, check=False)
            assert failed.returncode != 0
        finally:
            gateway.kill()
