"""The Kubernetes manifests: schemas, references between them, and a gateway on the volumes that they make."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.front import DEPLOY
from tests.running import ROOT, eventually, running

FOLDER = DEPLOY / "kubernetes"
NAME = {"app.kubernetes.io/name": "camguard"}
# The oldest and the newest version of Kubernetes whose schemas judge the manifests.
VERSIONS = ("1.30", "1.37")


def rendered(config: Path = ROOT / "config") -> list[dict[str, Any]]:
    argv = [sys.executable, str(FOLDER / "render.py"), str(config)]
    return list(yaml.safe_load_all(subprocess.check_output(argv, text=True)))


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """Return what render.py prints for the sample company."""
    return rendered()


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def config_maps(manifests: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_follows_its_schema(manifests: list[dict[str, Any]], version: str) -> None:
    static = [each for path in FOLDER.glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    ours = [each for each in [*static, *manifests] if each["kind"] != "ServiceMonitor"]
    assert len(ours) == 5 + 7
    for manifest in ours:
        kubernetes_validate.validate(manifest, version, strict=True)
    wrong = {**of_kind(manifests, "PodDisruptionBudget"), "spec": {"maxUnavailble": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_the_service_monitor_names_what_the_service_has(manifests: list[dict[str, Any]]) -> None:
    """The shape of the custom resource, as the API of the Prometheus operator describes it."""
    monitor, service = of_kind(manifests, "ServiceMonitor"), of_kind(manifests, "Service")
    assert monitor.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    spec = monitor["spec"]
    assert spec.keys() == {"jobLabel", "selector", "endpoints"}
    labels = service["metadata"]["labels"]
    assert spec["selector"].keys() == {"matchLabels"}
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels[spec["jobLabel"]] == "camguard", "rules.yml relies on this name of the job"
    (endpoint,) = spec["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval"}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert (endpoint["path"], bool(re.fullmatch(r"\d+s", endpoint["interval"]))) == ("/metrics", True)


def test_every_selector_finds_the_pods(manifests: list[dict[str, Any]]) -> None:
    deployment = of_kind(manifests, "Deployment")["spec"]
    selectors = [
        deployment["selector"]["matchLabels"],
        deployment["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        of_kind(manifests, "Service")["spec"]["selector"],
        of_kind(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [NAME] * len(selectors)
    assert deployment["template"]["metadata"]["labels"] == NAME


def test_every_port_that_is_named_exists(manifests: list[dict[str, Any]]) -> None:
    (container,) = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert probes == {
        "startup": {"path": "/-/healthy", "port": "metrics"},
        "liveness": {"path": "/-/healthy", "port": "metrics"},
        "readiness": {"path": "/-/ready", "port": "metrics"},
    }
    service = {port["targetPort"]: port["port"] for port in of_kind(manifests, "Service")["spec"]["ports"]}
    assert service == ports
    policy = of_kind(manifests, "NetworkPolicy")["spec"]["ingress"]
    assert {rule["ports"][0]["port"] for rule in policy} == ports.keys()
    settings = config_maps(manifests)["camguard-settings"]["camguard.toml"]
    assert f'listen = "0.0.0.0:{ports["calls"]}"' in settings
    assert f'admin = "0.0.0.0:{ports["metrics"]}"' in settings


def test_the_pod_has_no_right_that_it_does_not_need(manifests: list[dict[str, Any]]) -> None:
    pod = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert re.search(r":\d[\w.-]*$", container["image"]), "a version, not `latest`"
    assert "limits" in container["resources"]
    assert all("subPath" not in mount for mount in container["volumeMounts"]), "it would not be updated"
    assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}


def test_a_bundle_that_cannot_be_a_config_map_is_refused_by_name(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config" / "bundle", tmp_path / "bundle")
    shutil.copytree(ROOT / "config" / "catalog", tmp_path / "catalog")
    argv = [sys.executable, str(FOLDER / "render.py"), str(tmp_path)]
    odd = tmp_path / "bundle" / "policies" / "mine (copy).json"
    odd.write_text("{}")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("policies/mine (copy).json: a ConfigMap cannot hold")
    odd.unlink()
    (tmp_path / "catalog" / "large.json").write_text("x" * 1_000_001)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("camguard-catalog: ")


def write_volume(mount: Path, files: dict[str, bytes], mode: int, group: int, version: int) -> None:
    """Write a volume as the kubelet does: a new folder, and links that are replaced in one step."""
    folder = mount / f"..version_{version}"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.chown(path, 0, group)
    fresh = mount / "..data_tmp"
    fresh.symlink_to(folder.name)
    fresh.rename(mount / "..data")
    for name in {path.split("/")[0] for path in files}:
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(f"..data/{name}")


def bundle_files(manifests: list[dict[str, Any]]) -> dict[str, bytes]:
    """Return the files of the volume `bundle`."""
    pod = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]
    (volume,) = (each["configMap"] for each in pod["volumes"] if each["name"] == "bundle")
    data = config_maps(manifests)[volume["name"]]
    assert {item["key"] for item in volume["items"]} == data.keys()
    return {item["path"]: data[item["key"]].encode() for item in volume["items"]}


def test_the_volume_holds_the_bundle(manifests: list[dict[str, Any]]) -> None:
    bundle = ROOT / "config" / "bundle"
    expected = {f"policies/{path.name}": path.read_bytes() for path in (bundle / "policies").glob("*.json")}
    assert bundle_files(manifests) == expected | {
        "principals.json": (bundle / "principals.json").read_bytes()
    }


# The interpreter may be in a folder that no other user may enter. So root imports everything first.
AS_ANOTHER = """
import encodings.idna, os
import camguard.gateway.run, camguard.gateway.workers
from camguard.cli import run
os.setgroups([{group}])
os.setgid({group})
os.setuid({user})
os.umask(0o777)  # it must not write anything
run()
"""


@pytest.fixture
def etc() -> Iterator[Path]:
    """Return an empty folder that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="camguard-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.heavy
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_the_gateway_serves_as_the_user_of_the_pod_and_takes_over_a_new_config_map(
    manifests: list[dict[str, Any]], etc: Path, tmp_path: Path
) -> None:
    pod = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]
    group: int = pod["securityContext"]["fsGroup"]
    maps = config_maps(manifests)
    keys = {"AKIDalice": {"secret_key": "a-secret-key-of-alice-0000000000", "principal": "uin/100000000101"}}
    volumes = {
        "settings": {name: text.encode() for name, text in maps["camguard-settings"].items()},
        "bundle": bundle_files(manifests),
        "catalog": {name: text.encode() for name, text in maps["camguard-catalog"].items()},
        "keys": {"keys.json": json.dumps(keys).encode()},
    }
    modes = {"keys": 0o440}  # of `defaultMode: 0400`, with fsGroup
    (container,) = pod["containers"]
    mounts = {each["name"]: etc / Path(each["mountPath"]).name for each in container["volumeMounts"]}
    for name, files in volumes.items():
        write_volume(mounts[name], files, modes.get(name, 0o644), group, 1)
    config = etc / Path(container["args"][-1]).relative_to("/etc/camguard")
    program = AS_ANOTHER.format(user=pod["securityContext"]["runAsUser"], group=group)
    with running(config.parent, (sys.executable, "-c", program), POLICY__POLL_SECONDS="0.2") as gateway:
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
        assert gateway.get("/-/ready")[0] == 200
        before = json.loads(gateway.get("/api/status")[1])["revision"]
        policy = tmp_path / "config"
        shutil.copytree(ROOT / "config" / "bundle", policy / "bundle")
        shutil.copytree(ROOT / "config" / "catalog", policy / "catalog")
        (policy / "bundle" / "policies" / "one-more.json").write_text(
            (policy / "bundle" / "policies" / "full-access.json").read_text()
        )
        write_volume(mounts["bundle"], bundle_files(rendered(policy)), 0o644, group, 2)
        eventually(lambda: json.loads(gateway.get("/api/status")[1])["revision"] != before)
        assert gateway.metrics()["camguard_policy_last_reload_successful"] == 1
        assert gateway.stop() == 0
