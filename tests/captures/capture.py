"""Records, byte for byte, what the vendor's clients send. A development tool: tests only read its output.

    python tests/captures/capture.py python DIR    with the interpreter that has the Python SDK and httpx
    python tests/captures/capture.py tccli DIR     with the interpreter that has tccli
    python tests/captures/capture.py node DIR      NODE_PATH names the folder that has the Node SDK

Every name resolves to one loopback address, on which a recorder answers at the ports 80, 443 (with a
throwaway certificate) and 8080; the first two need the right to bind them. Keys are those of keys.json
beside this file.

Each capture: name, time (seconds since the epoch), raw (the request, a character a byte), service (what
the call is for, whatever its host says), expected: `signed`, or the detail of the refusal it must meet.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECORDER = "127.0.0.9"
PORT = 8080
ANSWER = b'{"Response":{"RequestId":"00000000-0000-4000-8000-000000000000"}}'
KEYS = json.loads((HERE / "keys.json").read_text(encoding="utf-8"))
PERMANENT, TEMPORARY, *_ = KEYS  # the others signed what was recorded elsewhere
PRODUCT, GATEWAY = "aiart.tencentcloudapi.com", "aiart.gw.example"

Scenario = tuple[str, str, Callable[[], Any]]
LOOKUP = socket.getaddrinfo


class Recorder:
    """Takes one request per connection at a time, keeps its bytes, answers that all is well."""

    def __init__(self, certificate: Path) -> None:
        self.seen: list[bytes] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        for port, tls in ((80, None), (443, context), (PORT, None)):
            listener = socket.create_server((RECORDER, port))
            threading.Thread(target=self._listen, args=(listener, tls), daemon=True).start()

    def _listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=self._serve, args=(plain, tls), daemon=True).start()

    def _serve(self, plain: socket.socket, tls: ssl.SSLContext | None) -> None:
        with suppress(OSError), tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            raw = b""
            while True:
                length = whole(raw)
                if length is not None:
                    self.seen.append(raw[:length])
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
                    )
                    return
                more = connection.recv(65536)
                if not more:
                    return
                raw += more


def whole(raw: bytes) -> int | None:
    """Return how many bytes the first request takes, None while it has not all arrived."""
    head, end, _ = raw.partition(b"\r\n\r\n")
    if not end:
        return None
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    fields = {name.lower(): value.strip() for name, _, value in lines}
    start = len(head) + 4
    if fields.get(b"transfer-encoding") == b"chunked":
        last = raw.find(b"0\r\n\r\n", start)
        return None if last < 0 else last + 5
    length = start + int(fields.get(b"content-length", b"0"))
    return length if len(raw) >= length else None


@contextmanager
def certificate() -> Iterator[Path]:
    """Give a throwaway certificate for the names that captures use."""
    hosts = ("*.tencentcloudapi.com", "*.ap-singapore.tencentcloudapi.com", "*.gw.example")
    names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
    with tempfile.TemporaryDirectory() as folder:
        key, crt, both = (Path(folder) / name for name in ("key.pem", "crt.pem", "both.pem"))
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=captures", "-keyout", str(key), "-out", str(crt), "-addext", names]
        subprocess.run(command, check=True, capture_output=True)
        both.write_bytes(key.read_bytes() + crt.read_bytes())
        yield both


def to_recorder(_host: object, port: Any, *rest: Any, **options: Any) -> Any:
    return LOOKUP(RECORDER, port, *rest, **options)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def record(recorder: Recorder, client: str, scenarios: list[Scenario], path: Path) -> None:
    """Run every scenario, and write what arrived."""
    captures = []
    for name, expected, run in scenarios:
        before = len(recorder.seen)
        try:
            run()
        except Exception as error:  # noqa: BLE001 - a client may dislike the answer; what it sent counts
            say(f"{client}: {name}: {error!r}"[:300])
        if len(recorder.seen) != before + 1:
            say(f"{client}: {name}: {len(recorder.seen) - before} requests")
            continue
        raw = recorder.seen[-1].decode("latin-1")
        service = "intlpartnersmgt" if "intlpartnersmgt" in name else "aiart"
        captures.append(
            {"name": name, "service": service, "time": int(time.time()), "expected": expected, "raw": raw}
        )
    document = json.dumps({"client": client, "captures": captures}, indent=1)
    path.write_text(document + "\n", encoding="ascii")
    say(f"{path}: {len(captures)} of {len(scenarios)}")


PARAMS = {"Prompt": "a cat", "LogoAdd": 0}
NESTED = {
    "Prompt": "a cat & a dog=50% + ü 猫 /?",
    "Styles": ["201", "202"],
    "Filters": [{"Name": "zone", "Values": ["b", "a"]}, {"Name": "empty", "Values": [""]}],
    "Seed": 9007199254740993,
    "Limit": 0,
}
UNICODE = {"Prompt": "eine Katze im Café, 猫と犬 \U0001f408", "NegativePrompt": '"\\\n\t'}
BYTES = bytes(range(0, 256, 5))


def python_scenarios() -> list[Scenario]:
    """What the synchronous Python SDK can be told to send."""
    sdk = _sdk()
    common = importlib.import_module("tencentcloud.common.common_client").CommonClient
    aiart = importlib.import_module("tencentcloud.aiart.v20221229.aiart_client").AiartClient
    models = importlib.import_module("tencentcloud.aiart.v20221229.models")

    def call(
        action: str = "TextToImageRapid",
        params: Any = PARAMS,
        *,
        service: str = "aiart",
        region: str = "ap-guangzhou",
        headers: dict[str, str] | None = None,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Callable[[], Any]:
        key, profile = sdk(**settings)
        client = common(service, "2022-12-29", key, region, profile=profile)
        return lambda: client.call_json(action, params, headers=headers, options=options)

    def octets(**settings: Any) -> Callable[[], Any]:
        key, profile = sdk(**settings)
        client = common("aiart", "2022-12-29", key, "ap-guangzhou", profile=profile)
        return lambda: client.call_octet_stream("TextToImageRapid", {}, BYTES)

    def typed() -> Any:
        key, profile = sdk()
        request = models.QueryTextToImageProJobRequest()
        request.from_json_string('{"JobId": "123"}')
        return aiart(key, "ap-guangzhou", profile).QueryTextToImageProJob(request)

    image = {"IsMultipart": True, "BinaryParams": ["Image"]}
    multipart = {"Prompt": "猫", "Image": BYTES, "Styles": ["201", "202"], "Box": {"X": 1}}
    both = {"x-camguard-note": "Mixed  Case", "X-TC-TraceId": "Trace-0", "x-tc-action": "Overwritten"}
    return [
        ("TC3 POST JSON", "signed", call()),
        ("TC3 POST JSON typed", "signed", typed),
        ("TC3 POST JSON no parameters", "signed", call(params={})),
        ("TC3 POST JSON nested", "signed", call(params=NESTED)),
        ("TC3 POST JSON unicode", "signed", call(params=UNICODE)),
        (
            "TC3 POST JSON intlpartnersmgt",
            "signed",
            call("QueryCreditAllocationHistory", service="intlpartnersmgt"),
        ),
        ("TC3 POST JSON first letter small", "signed", call("textToImageRapid")),
        ("TC3 POST JSON no region", "signed", call(region="")),
        ("TC3 POST JSON English", "signed", call(language="en-US")),
        ("TC3 POST JSON token", "signed", call(key=TEMPORARY)),
        ("TC3 POST JSON unsigned payload", "unsigned_payload", call(unsigned=True)),
        ("TC3 POST JSON caller's headers", "signed", call(headers=both)),
        ("TC3 POST JSON keep alive", "signed", call(keep_alive=True)),
        ("TC3 POST JSON region breaker", "signed", call(breaker=True)),
        ("TC3 POST multipart", "signed", call(params=multipart, options=image)),
        ("TC3 POST multipart token", "signed", call(params=multipart, options=image, key=TEMPORARY)),
        (
            "TC3 POST multipart although v1",
            "signed",
            call(params=multipart, options=image, method="HmacSHA1"),
        ),
        ("TC3 POST octet stream", "signed", octets()),
        ("TC3 POST octet stream token", "signed", octets(key=TEMPORARY)),
        ("TC3 GET", "signed", call(verb="GET")),
        ("TC3 GET no parameters", "signed", call(verb="GET", params={})),
        ("TC3 GET nested", "signed", call(verb="GET", params=NESTED)),
        ("TC3 GET unicode", "signed", call(verb="GET", params=UNICODE)),
        ("TC3 GET token", "signed", call(verb="GET", key=TEMPORARY)),
        ("TC3 GET unsigned payload", "unsigned_payload", call(verb="GET", unsigned=True)),
        ("TC3 Host with port", "signed", call(endpoint=f"{RECORDER}:{PORT}")),
        ("TC3 Host of a gateway", "signed", call(root="gw.example")),
        ("TC3 Host of a gateway with port", "signed", call(endpoint=f"{GATEWAY}:{PORT}")),
        ("TC3 Host of a gateway with port GET", "signed", call(verb="GET", endpoint=f"{GATEWAY}:{PORT}")),
        ("TC3 Host in capitals", "signed", call(endpoint="AIART.gw.example")),
        ("TC3 Host with region", "signed", call(endpoint="aiart.ap-singapore.tencentcloudapi.com")),
        ("TC3 Host in options", "signed", call(options={"Endpoint": f"http://{GATEWAY}"})),
        ("TC3 Host replaced after signing", "signature_invalid", call(apigw=GATEWAY)),
        ("TC3 Host that is a URL", "host_invalid", call(endpoint=f"http://{GATEWAY}:{PORT}")),
        ("TC3 through a forward proxy", "path_not_allowed", call(proxy=f"http://{RECORDER}:{PORT}")),
        ("TC3 not signed", "auth_malformed", call(options={"SkipSign": True})),
        ("TC3 not signed with token", "auth_malformed", call(options={"SkipSign": True}, key=TEMPORARY)),
        ("v1 not signed", "auth_malformed", call(options={"SkipSign": True}, method="HmacSHA1")),
        *(
            (f"v1 {verb} {method}{what}", expected, call(verb=verb, method=method, **rest))
            for verb in ("GET", "POST")
            for method in ("HmacSHA1", "HmacSHA256")
            for what, expected, rest in V1
        ),
    ]


V1: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("", "signed", {}),
    (" nested", "signed", {"params": NESTED}),
    (" unicode", "signed", {"params": UNICODE}),
    (" token", "signed", {"key": TEMPORARY}),
    (" no region", "signed", {"region": ""}),
    (" underscores", "signed", {"params": {"A_Name": "x", "B.Name": "y", "AName": "z"}}),
    (" a value like a pair", "signature_v1_ambiguous", {"params": {"Url": "https://x.example/?a=1&b=2"}}),
    (" Host with port", "signed", {"endpoint": f"{GATEWAY}:{PORT}"}),
)


def async_scenarios() -> list[Scenario]:
    """What the asynchronous Python SDK can be told to send."""
    sdk = _sdk()
    common = importlib.import_module("tencentcloud.common.common_client_async").CommonClient

    def call(
        params: Any = PARAMS,
        *,
        region: str = "ap-guangzhou",
        headers: dict[str, str] | None = None,
        opts: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Callable[[], Any]:
        async def run() -> Any:
            key, profile = sdk(**settings)
            async with common("aiart", "2022-12-29", key, region, profile=profile) as client:
                return await client.call_and_deserialize(
                    "TextToImageRapid", params, headers=headers, opts=opts
                )

        return lambda: asyncio.run(run())

    image = {"IsMultipart": True, "BinaryParams": ["Image"]}
    multipart = {"Prompt": "猫", "Image": BYTES, "Styles": ["201", "202"]}
    return [
        ("TC3 POST JSON", "signed", call()),
        ("TC3 POST JSON no parameters", "signed", call(params={})),
        ("TC3 POST JSON nested", "signed", call(params=NESTED)),
        ("TC3 POST JSON unicode", "signed", call(params=UNICODE)),
        ("TC3 POST JSON no region", "signed", call(region="")),
        ("TC3 POST JSON Chinese", "signed", call(language="zh-CN")),
        ("TC3 POST JSON token", "signed", call(key=TEMPORARY)),
        ("TC3 POST JSON unsigned payload", "unsigned_payload", call(unsigned=True)),
        (
            "TC3 POST JSON caller's headers",
            "signed",
            call(headers={"X-TC-TraceId": "Trace-0", "X-Note": "A"}),
        ),
        ("TC3 POST multipart", "signed", call(params=multipart, opts=image)),
        ("TC3 GET", "signed", call(verb="GET")),
        ("TC3 GET nested", "signed", call(verb="GET", params=NESTED)),
        ("TC3 GET unicode", "signed", call(verb="GET", params=UNICODE)),
        ("TC3 Host with port", "signed", call(endpoint=f"{RECORDER}:{PORT}")),
        ("TC3 Host of a gateway", "signed", call(root="gw.example")),
        ("TC3 Host of a gateway with port", "signed", call(endpoint=f"{GATEWAY}:{PORT}")),
        ("TC3 not signed", "auth_malformed", call(opts={"SkipSign": True})),
        *(
            (f"v1 {verb} {method}{what}", expected, call(verb=verb, method=method, **rest))
            for verb in ("GET", "POST")
            for method in ("HmacSHA1", "HmacSHA256")
            for what, expected, rest in V1
        ),
    ]


def _sdk() -> Callable[..., tuple[Any, Any]]:
    """Return what makes the SDK's credential and profile out of short words."""
    credential = importlib.import_module("tencentcloud.common.credential").Credential
    profiles = importlib.import_module("tencentcloud.common.profile.client_profile")
    http = importlib.import_module("tencentcloud.common.profile.http_profile").HttpProfile

    def make(
        *,
        key: str = PERMANENT,
        verb: str = "POST",
        method: str = "TC3-HMAC-SHA256",
        endpoint: str | None = None,
        root: str | None = None,
        apigw: str | None = None,
        proxy: str | None = None,
        language: str | None = None,
        keep_alive: bool = False,
        breaker: bool = False,
        unsigned: bool = False,
    ) -> tuple[Any, Any]:
        profile = http(protocol="http", reqMethod=verb, endpoint=endpoint, rootDomain=root, proxy=proxy)
        profile.keepAlive = keep_alive
        profile.apigw_endpoint = apigw
        client = profiles.ClientProfile(
            signMethod=method, httpProfile=profile, disable_region_breaker=not breaker
        )
        client.language = language
        client.unsignedPayload = unsigned
        return credential(key, KEYS[key]["secret_key"], KEYS[key].get("token")), client

    return make


def tccli_scenarios() -> list[Scenario]:
    """What the command line client sends: https, POST and JSON alone."""

    def call(*words: str, key: str = PERMANENT, region: str = "ap-guangzhou") -> Callable[[], Any]:
        secret = [
            "--secretId",
            key,
            "--secretKey",
            KEYS[key]["secret_key"],
            "--token",
            KEYS[key].get("token", ""),
        ]
        argv = ["tccli", "aiart", *words, *secret[: 4 if key == PERMANENT else 6]]
        if region:
            argv += ["--region", region]

        def run() -> None:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                return
            sys.argv = argv
            try:
                importlib.import_module("tccli.main").main()
            finally:
                os._exit(0)

        return run

    listed = ["--TemplateUrl", "https://x.example/a?b=1&c=2", "--FaceInfos", '[{"ImageUrls": ["b", "a"]}]']
    return [
        ("TC3 POST JSON", "signed", call("QueryGlamPicJob", "--JobId", "123")),
        ("TC3 POST JSON no parameters", "signed", call("QueryMemeJob", "--JobId", "")),
        ("TC3 POST JSON unicode", "signed", call("SubmitTextToImageProJob", "--Prompt", UNICODE["Prompt"])),
        ("TC3 POST JSON token", "signed", call("QueryGlamPicJob", "--JobId", "123", key=TEMPORARY)),
        ("TC3 POST JSON English", "signed", call("QueryGlamPicJob", "--JobId", "1", "--language", "en-US")),
        ("TC3 POST JSON list", "signed", call("SubmitGlamPicJob", *listed)),
        ("TC3 Host of a gateway", "signed", call("QueryGlamPicJob", "--JobId", "1", "--endpoint", GATEWAY)),
        (
            "TC3 Host of a region",
            "signed",
            call("QueryGlamPicJob", "--JobId", "1", "--endpoint", "aiart.ap-singapore.tencentcloudapi.com"),
        ),
    ]


def main(client: str, folder: Path) -> None:
    """Record the clients of one kind."""
    with certificate() as authority:
        recorder = Recorder(authority)
        socket.getaddrinfo = to_recorder  # type: ignore[assignment]
        if client == "python":
            version = metadata.version("tencentcloud-sdk-python-common")
            record(recorder, f"Python SDK {version}", python_scenarios(), folder / "python.json")
            record(recorder, f"Python SDK {version}, asynchronous", async_scenarios(), folder / "async.json")
        elif client == "tccli":
            vars(importlib.import_module("certifi"))["where"] = lambda: str(authority)
            os.environ["HOME"] = str(authority.parent)
            version = importlib.import_module("tccli").__version__
            record(recorder, f"tccli {version}", tccli_scenarios(), folder / "tccli.json")
        else:
            run_node(recorder, folder / "node.json")


def run_node(recorder: Recorder, path: Path) -> None:
    """Let capture.js run its scenarios one by one: it lists them, then runs the one that is requested."""
    script = [os.environ.get("NODE", "node"), str(HERE / "capture.js")]
    listed = json.loads(subprocess.run([*script, "list"], check=True, capture_output=True).stdout)

    def call(index: int) -> Callable[[], Any]:
        return lambda: subprocess.run([*script, str(index)], check=True, timeout=60)

    scenarios = [(name, expected, call(i)) for i, (name, expected) in enumerate(listed["scenarios"])]
    record(recorder, f"Node SDK {listed['version']}", scenarios, path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
