"""The vendor's Node SDKs and tccli against a running gateway. The Python SDK is in test_end_to_end.py.

Neither comes with the development tools: tccli takes some 600 MB. `npm install --prefix DIR
tencentcloud-sdk-nodejs tencentcloud-sdk-nodejs-intl-en` and `NODE_PATH=DIR/node_modules` give the first,
`pip install tccli` in an environment of its own and `TCCLI_PYTHON=DIR/bin/python` the second.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import PATIENCE, Front, Gateway, running

pytest.importorskip("httptools", reason="the gateway needs the extra `serve`")
pytestmark = pytest.mark.heavy

HERE = Path(__file__).parent / "official"
OFFICE, ELSEWHERE = "10.1.2.3", "198.51.100.7"
ALICE = "uin/100000000101"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PACKAGES = ("tencentcloud-sdk-nodejs", "tencentcloud-sdk-nodejs-intl-en")
WRONG_KEY = "not-the-secret-key-of-alice-00000"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("company") / "config"
    with running(folder, IDENTITY__MODE="signature", IDENTITY__ALLOW_V1="true") as gateway:
        yield gateway


@pytest.fixture
def front(gateway: Gateway) -> Iterator[Front]:
    with Front(OFFICE, gateway.calls) as front:
        yield front


def node(package: str, gateway: Gateway, front: Front, **how: Any) -> dict[str, Any]:
    """Make one call with a Node SDK; skip where there is none."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed")
    found = subprocess.run([program, "-e", f"require.resolve('{package}')"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"{package} is not in NODE_PATH")
    secret_id, secret_key = gateway.key(ALICE)
    call = {
        "package": package,
        "port": front.port,
        "secretId": secret_id,
        "secretKey": secret_key,
        "region": "ap-guangzhou",
        "verb": "POST",
        "action": "GenerateAvatar",
        "params": {"InputUrl": "http://example.com/a.png?b=ä ~猫"},
        "options": {},
        **how,
    }
    done = subprocess.run(
        [program, str(HERE / "call.js"), json.dumps(call)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


MULTIPART = {"params": {"Prompt": "猫"}, "options": {"multipart": True}}
ALLOWED = [
    pytest.param({}, id="TC3 POST"),
    pytest.param({"verb": "GET"}, id="TC3 GET"),
    pytest.param({"region": None}, id="T133 no region"),
    pytest.param({"region": None, "verb": "GET"}, id="T133 no region in a GET"),
    pytest.param({"region": ""}, id="T133 an empty region"),
    pytest.param({"params": {}}, id="no parameters"),
    pytest.param({"method": "HmacSHA1"}, id="HmacSHA1 POST"),
    pytest.param({"method": "HmacSHA256", "verb": "GET"}, id="HmacSHA256 GET"),
    pytest.param({"method": "HmacSHA256", "region": None}, id="HmacSHA256 without a region"),
    pytest.param({"method": "TC3-HMAC-SHA256", **MULTIPART}, id="multipart"),
]


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("how", ALLOWED)
def test_an_allowed_call_of_the_node_sdk(
    gateway: Gateway, front: Front, package: str, how: dict[str, Any]
) -> None:
    # Without a method the SDK of the international site signs with version 1.
    found = node(package, gateway, front, **{"method": "TC3-HMAC-SHA256", **how})
    assert found.get("answer", found).get("Action") == "GenerateAvatar"
    assert found["answer"]["Principal"] == ALICE
    assert re.fullmatch(UUID, found["answer"]["RequestId"])


DENIED = [
    pytest.param({"action": "SetPayMode"}, OFFICE, "AuthFailure.UnauthorizedOperation", id="a denied action"),
    pytest.param({}, ELSEWHERE, "AuthFailure.UnauthorizedOperation", id="from outside the office"),
    pytest.param({"verb": "GET"}, ELSEWHERE, "AuthFailure.UnauthorizedOperation", id="a GET from outside"),
    pytest.param({"secretKey": WRONG_KEY}, OFFICE, "AuthFailure.SignatureFailure", id="a wrong secret key"),
    pytest.param({"action": "NoSuchAction"}, OFFICE, "InvalidAction", id="an action that is not listed"),
]


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(("how", "address", "code"), DENIED)
def test_a_denied_call_of_the_node_sdk_fails_once_with_its_code(
    gateway: Gateway, front: Front, package: str, how: dict[str, Any], address: str, code: str
) -> None:
    front.address = address
    found = node(package, gateway, front, **{"method": "TC3-HMAC-SHA256", **how})
    assert (found["kind"], found["code"]) == ("TencentCloudSDKHttpException", code)
    assert re.fullmatch(UUID, found["requestId"])
    assert len(front.heads) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return key and certificate of the vendor's host names, made for this run."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("authority")
    key, crt = folder / "key.pem", folder / "crt.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"]
    command += ["-keyout", str(key), "-out", str(crt), "-addext", "subjectAltName=DNS:*.tencentcloudapi.com"]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + crt.read_bytes())
    return both


def tccli(
    gateway: Gateway, certificate: Path, *words: str, address: str = OFFICE, key: str | None = None
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run tccli; return what came of it and how many requests it sent. Skip where there is none."""
    python = os.environ.get("TCCLI_PYTHON", sys.executable)
    probe = [python, "-c", "import tccli"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("tccli is not installed: TCCLI_PYTHON names an interpreter that has it")
    secret_id, secret_key = gateway.key(ALICE)
    keys = ("--secretId", secret_id, "--secretKey", key or secret_key)
    with Front(address, gateway.calls, tls=certificate) as front:
        command = [python, str(HERE / "tccli_call.py"), str(front.port), str(certificate)]
        command += [str(certificate.parent), "tccli", "aiart", *words, *keys]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        return done, len(front.heads)


def test_an_allowed_call_of_tccli(gateway: Gateway, certificate: Path) -> None:
    words = ("GenerateAvatar", "--InputUrl", "http://example.com/ä b", "--region", "ap-guangzhou")
    done, sent = tccli(gateway, certificate, *words)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(UUID, json.loads(done.stdout)["RequestId"])
    assert sent == 1


REFUSED = [
    pytest.param(ELSEWHERE, None, "AuthFailure.UnauthorizedOperation", id="from outside the office"),
    pytest.param(OFFICE, WRONG_KEY, "AuthFailure.SignatureFailure", id="a wrong secret key"),
]


@pytest.mark.parametrize(("address", "key", "code"), REFUSED)
def test_a_refused_call_of_tccli_ends_with_its_code(
    gateway: Gateway, certificate: Path, address: str, key: str | None, code: str
) -> None:
    words = ("GenerateAvatar", "--InputUrl", "http://example.com", "--region", "ap-guangzhou")
    done, sent = tccli(gateway, certificate, *words, address=address, key=key)
    assert done.returncode == 255
    assert f"code:{code} " in done.stderr + done.stdout
    assert sent == 1
