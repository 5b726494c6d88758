"""The vendor's SDK for Python through nginx with TLS, and the SDK programs that config/deploy shows."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import site
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.front import DEPLOY, HOST, Nginx, deployed, nginx, program
from tests.running import PATIENCE, ROOT, Gateway

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")
CommonClient = pytest.importorskip("tencentcloud.common.common_client").CommonClient
credential = pytest.importorskip("tencentcloud.common.credential")
ClientProfile = pytest.importorskip("tencentcloud.common.profile.client_profile").ClientProfile
HttpProfile = pytest.importorskip("tencentcloud.common.profile.http_profile").HttpProfile
StandardRetryer = pytest.importorskip("tencentcloud.common.retry").StandardRetryer
SDKError: type[Any] = pytest.importorskip(
    "tencentcloud.common.exception.tencent_cloud_sdk_exception"
).TencentCloudSDKException
pytestmark = pytest.mark.heavy

ALICE = "uin/100000000101"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DENIED = "AuthFailure.UnauthorizedOperation"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with deployed(tmp_path_factory.mktemp("company") / "camguard") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def front(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx"), gateway.calls) as front:
        yield front


@pytest.fixture(autouse=True)
def _names_lead_here(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if host == HOST else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def sdk(gateway: Gateway, front: Nginx, method: str = "POST", headers: dict[str, str] | None = None) -> Any:
    """Return the SDK's client of alice, who wants every failure retried."""
    profile = ClientProfile(
        httpProfile=HttpProfile(
            endpoint=front.address, reqMethod=method, reqTimeout=20, certification=str(front.certificate)
        ),
        retryer=StandardRetryer(max_attempts=3),
    )
    client = CommonClient(
        "aiart", "2022-12-29", credential.Credential(*gateway.key(ALICE)), "ap-guangzhou", profile
    )
    call_json = client.call_json
    client.call_json = lambda action, params: call_json(action, params, headers=headers or {})
    return client


CALLS = [
    pytest.param("POST", {"Prompt": "ä 猫 &=+"}, id="POST"),
    pytest.param("GET", {"Prompt": "ä 猫 &=+"}, id="GET, whose query is signed as it was sent"),
    pytest.param("POST", {"Prompt": "x" * 200_000}, id="a body that nginx writes to a file first"),
]


@pytest.mark.parametrize(("method", "params"), CALLS)
def test_an_allowed_call(gateway: Gateway, front: Nginx, method: str, params: dict[str, str]) -> None:
    answer = sdk(gateway, front, method).call_json("TextToImage", params)["Response"]
    assert (answer["Action"], answer["Principal"], answer["SourceIp"]) == ("TextToImage", ALICE, "127.0.0.1")
    assert re.fullmatch(UUID, answer["RequestId"])


def test_a_denied_call_fails_once_with_its_code(gateway: Gateway, front: Nginx) -> None:
    before = len(front.calls())
    with pytest.raises(SDKError) as caught:
        sdk(gateway, front).call_json("SetPayMode", {})
    assert caught.value.code == DENIED
    assert re.fullmatch(UUID, caught.value.requestId)
    assert len(front.calls()) == before + 1


FORGED = {"X-Forwarded-For": "10.2.3.4", "Forwarded": "for=10.2.3.4", "X-Real-IP": "10.2.3.4"}


def test_the_client_s_own_forwarding_headers_say_nothing(gateway: Gateway, front: Nginx) -> None:
    answer = sdk(gateway, front, headers=FORGED).call_json("TextToImage", {})["Response"]
    assert answer["SourceIp"] == "127.0.0.1"


def test_a_body_above_the_limit_is_refused_in_the_form_that_the_sdk_reads(
    gateway: Gateway, front: Nginx
) -> None:
    with pytest.raises(SDKError) as caught:
        sdk(gateway, front).call_json("TextToImage", {"Prompt": "x" * 11_000_000})
    assert caught.value.code == "RequestSizeLimitExceeded"


def test_the_log_of_nginx_holds_no_query(gateway: Gateway, front: Nginx) -> None:
    sdk(gateway, front, "GET").call_json("TextToImage", {"Prompt": "a-secret-word"})
    (line,) = front.calls()[-1:]
    assert '"GET /" 200' in line
    assert f'host="{front.address}" action="TextToImage"' in line
    assert "a-secret-word" not in "\n".join(front.calls())


def test_the_identity_header_of_a_client_is_taken_out(tmp_path: Path) -> None:
    """Also where the gateway believes the header of its proxies."""
    with (
        deployed(tmp_path / "camguard", IDENTITY__MODE="either") as gateway,
        nginx(tmp_path / "nginx", gateway.calls) as front,
    ):
        context = ssl.create_default_context(cafile=str(front.certificate))
        connection = http.client.HTTPSConnection(HOST, front.port, timeout=PATIENCE, context=context)
        headers = {
            "Content-Type": "application/json",
            "X-TC-Action": "TextToImage",
            "X-TC-Version": "2022-12-29",
            "X-Camguard-Principal": ALICE,
        }
        connection.request("POST", "/", b"{}", headers)
        answer = connection.getresponse()
        code = json.loads(answer.read())["Response"]["Error"]["Code"]
        connection.close()
        assert (answer.status, code) == (200, "AuthFailure.InvalidAuthorization")


def test_without_a_gateway_the_sdk_gets_one_error_that_it_does_not_retry(
    gateway: Gateway, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody: int = free.getsockname()[1]
    with nginx(tmp_path / "nginx", nobody) as front:
        with pytest.raises(SDKError) as caught:
            sdk(gateway, front).call_json("TextToImage", {})
        assert (caught.value.code, caught.value.message) == (
            "InternalError",
            "The gateway is not available.",
        )
        assert caught.value.requestId
        assert len(front.calls()) == 1


NAMES_LEAD_HERE = """
import socket
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: resolve("127.0.0.1", *rest, **named)
"""
PYTHON = """
import runpy, socket, sys
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: resolve("127.0.0.1", *rest, **named)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def node() -> list[str]:
    """Return the beginning of a command that runs a Node program, or skip."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed")
    probe = [found, "-e", "require.resolve('tencentcloud-sdk-nodejs-common')"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("tencentcloud-sdk-nodejs-common is not in NODE_PATH")
    return [found, "-r", str(Path(__file__).parent / "resolve.js")]


def printed(language: str, gateway: Gateway, front: Nginx, action: str) -> tuple[int, str, str]:
    """Run one of the SDK programs; return exit code, stdout and stderr."""
    command = [sys.executable, "-c", PYTHON] if language == "py" else node()
    secret_id, secret_key = gateway.key(ALICE)
    environ = {
        **os.environ,
        "TENCENTCLOUD_SECRET_ID": secret_id,
        "TENCENTCLOUD_SECRET_KEY": secret_key,
        "CAMGUARD_HOST": front.address,
        "CAMGUARD_CA": str(front.certificate),
        "NODE_EXTRA_CA_CERTS": str(front.certificate),
    }
    done = subprocess.run(
        [*command, str(DEPLOY / "sdk" / f"call.{language}"), action],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("language", ["py", "js"])
def test_the_program_of_an_sdk(gateway: Gateway, front: Nginx, language: str) -> None:
    code, out, err = printed(language, gateway, front, "TextToImage")
    assert (code, err) == (0, "")
    assert json.loads(out)["Action"] == "TextToImage"
    code, out, err = printed(language, gateway, front, "SetPayMode")
    assert (code, out) == (1, "")
    assert re.match(rf"{DENIED} {UUID}\nYou are not authorized", err)


def test_the_script_to_try_it(tmp_path: Path, free_ports: tuple[int, int]) -> None:
    """Both of its blocks in the README run, but for the installation of the SDK, which is there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "camguard").write_text(f"#!{sys.executable}\nfrom camguard.cli import run\nrun()\n")
    (programs / "camguard").chmod(0o755)
    (programs / "nginx").symlink_to(program())
    (programs / "sitecustomize.py").write_text(NAMES_LEAD_HERE)
    (programs / "python3").symlink_to(sys.executable)
    listen, front_port = free_ports
    environ = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{programs}:{ROOT}:{':'.join(site.getsitepackages())}",
        "CAMGUARD_GATEWAY__LISTEN": f"127.0.0.1:{listen}",
        "CAMGUARD_GATEWAY__ADMIN": "127.0.0.1:0",
    }
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    starting, calling = (
        block
        for block in re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        if "try" in block
    )
    *_, start = starting.replace("config/deploy", str(DEPLOY)).splitlines()
    argv = ["/bin/sh", "-c", f"exec {start} {front_port}"]
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as tried:
        try:
            assert tried.stdout is not None
            assert b"nginx listens on" in tried.stdout.readline()
            shell = ["/bin/sh", "-ec", calling.replace("config/deploy", str(DEPLOY))]
            done = subprocess.run(
                shell, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert json.loads(done.stdout)["Principal"] == ALICE
        finally:
            tried.terminate()
        assert tried.wait(PATIENCE) == 0
    # The gateway writes its log behind the calls, and completes it when it ends.
    assert '"decision":"allow"' in (tmp_path / "try/decisions.log").read_text()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", front_port))
