"""`camguard call`, against a gateway of its own process and against servers that answer anything."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main
from tests.running import PATIENCE, Gateway, running

ALICE = "uin/100000000101"
OFFICE = "10.1.2.3"
CALL = ("call", "--action", "aiart:TextToImage")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Run a gateway that accepts signatures only."""
    with running(tmp_path_factory.mktemp("call") / "config", IDENTITY__MODE="signature") as started:
        yield started


@pytest.fixture
def mine(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the settings and keys of the gateway, as the current folder."""
    for name in ("camguard.toml", "keys.json"):
        shutil.copy(gateway.folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def url(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.calls}"


@pytest.mark.usefixtures("mine")
def test_a_signed_call_is_answered(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    secret_id, secret = gateway.key(ALICE)
    sent = ("--url", url(gateway), "--ip", OFFICE, "--body", '{"Prompt": "é"}', "--format", "json")
    assert main([*CALL, "--key", secret_id, *sent]) == 0
    printed = capsys.readouterr().out
    document = json.loads(printed)
    answer = document["answer"]["Response"]
    assert (answer["Principal"], answer["SourceIp"], answer["Version"]) == (ALICE, OFFICE, "2022-12-29")
    assert answer["BodyBytes"] == 16
    assert (document["outcome"], document["status"], document["code"]) == ("answered", 200, None)
    assert document["request_id"] == answer["RequestId"]
    assert secret_id not in printed
    assert secret not in printed


@pytest.mark.parametrize("name", ["alice", "uin/100000000101"])
def test_the_only_key_of_a_principal_is_found_by_its_name(
    gateway: Gateway, mine: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(gateway.folder / "bundle", mine / "bundle")
    assert main([*CALL, "--key", name, "--url", url(gateway), "--ip", OFFICE]) == 0
    assert f"as {ALICE} with the key" in capsys.readouterr().out


# further options, exit code, first word of the text, and its code
CALLS = [
    pytest.param(["--ip", OFFICE], 0, "ANSWERED", None, id="from the office"),
    pytest.param([], 6, "REFUSED", "AuthFailure.UnauthorizedOperation", id="from this machine"),
    pytest.param(["--ip", OFFICE, "--region", "ap-guangzhou"], 0, "ANSWERED", None, id="with a region"),
    pytest.param(
        ["--ip", OFFICE, "--host", "aiart.tencentcloudapi.cn"], 0, "ANSWERED", None, id="to another host"
    ),
    pytest.param(
        ["--ip", OFFICE, "--action", "aiart:SetPayMode"],
        6,
        "REFUSED",
        "AuthFailure.UnauthorizedOperation",
        id="of an action that no policy allows",
    ),
    pytest.param(
        ["--ip", OFFICE, "--action", "aiart:TextToImages"],
        1,
        "FAILED",
        "InvalidAction",
        id="of an action that does not exist",
    ),
    pytest.param(
        ["--ip", OFFICE, "--host", "cvm.tencentcloudapi.com"],
        1,
        "FAILED",
        "NoSuchProduct",
        id="to the host of a service without a page",
    ),
]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("options", "code", "word", "error"), CALLS)
def test_the_exit_code_says_what_became_of_the_call(
    options: list[str],
    code: int,
    word: str,
    error: str | None,
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*CALL, "--key", ALICE, "--url", url(gateway), *options]) == code
    first, status, request_id, answer = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == [word, error] if error else first.startswith(f"{word}  aiart:")
    assert status == "  status      200 OK"
    assert request_id.split()[2] in answer


def test_a_wrong_secret_is_a_failure(
    mine: Path, gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = mine / "keys.json"
    keys.write_text(keys.read_text().replace(gateway.key(ALICE)[1], "x" * 32))
    assert main([*CALL, "--key", ALICE, "--url", url(gateway)]) == 1
    assert capsys.readouterr().out.startswith("FAILED  AuthFailure.SignatureFailure")


def test_the_token_of_a_temporary_key_is_sent(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = json.loads((mine / "keys.json").read_text())
    for entry in keys.values():
        entry["token"] = "EXAMPLE-TOKEN"
    (mine / "keys.json").write_text(json.dumps(keys))
    with answering(b'{"Response": {"RequestId": "r"}}') as server:
        assert main([*CALL, "--key", ALICE, "--url", server.url, "--region", "ap-guangzhou"]) == 0
    (headers,) = server.received
    assert headers["x-tc-token"] == "EXAMPLE-TOKEN"
    assert headers["x-tc-region"] == "ap-guangzhou"
    assert headers["host"] == "aiart.tencentcloudapi.com"
    assert "x-forwarded-for" not in headers
    assert "EXAMPLE-TOKEN" not in "".join(capsys.readouterr())


# the header of the settings, address, what is sent
FORWARDED = [
    pytest.param("x-forwarded-for", "2001:db8:0::1", "2001:db8::1", id="X-Forwarded-For"),
    pytest.param("forwarded", "10.1.2.3", "for=10.1.2.3", id="Forwarded, IPv4"),
    pytest.param("forwarded", "2001:db8::1", 'for="[2001:db8::1]"', id="Forwarded, IPv6"),
]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("header", "address", "sent"), FORWARDED)
def test_the_address_is_sent_in_the_header_of_the_settings(
    header: str, address: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMGUARD_CLIENT_IP__HEADER", header)
    with answering(b'{"Response": {}}') as server:
        assert main([*CALL, "--key", ALICE, "--url", server.url, "--ip", address]) == 0
    assert server.received[0][header] == sent


# status and body of an answer, exit code, outcome
ANSWERS = [
    pytest.param(200, b'{"Response": {"RequestId": "r"}}', 0, "answered", id="an answer"),
    pytest.param(
        403, b'{"Response": {"Error": {"Code": "UnauthorizedOperation"}}}', 6, "refused", id="a refusal, 403"
    ),
    pytest.param(200, b'{"Response": {"Error": {"Code": "InternalError"}}}', 1, "failed", id="an error, 200"),
    pytest.param(200, b'{"Response": {"Error": {}}}', 1, "failed", id="an error without a code"),
    pytest.param(200, b"<html>", 1, "failed", id="a page"),
    pytest.param(200, b"[1]", 1, "failed", id="JSON that is no object"),
    pytest.param(200, b'{"ok": true}', 1, "failed", id="an object of somebody else"),
    pytest.param(200, b'{"Response": 1}', 1, "failed", id="a response that is no object"),
    pytest.param(200, b"[" * 100_000, 1, "failed", id="JSON that is nested too deeply"),
    pytest.param(502, b'{"Response": {}}', 1, "failed", id="a status of a failure"),
    pytest.param(299, b"\xff\x1b[31m", 1, "failed", id="bytes that are no text"),
]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("status", "body", "code", "outcome"), ANSWERS)
def test_any_answer_has_an_outcome(
    status: int, body: bytes, code: int, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(body, status) as server:
        assert main([*CALL, "--key", ALICE, "--url", server.url, "--format", "json"]) == code
        assert json.loads(capsys.readouterr().out)["outcome"] == outcome
        assert main([*CALL, "--key", ALICE, "--url", server.url]) == code
    printed = capsys.readouterr().out
    assert printed.startswith(outcome.upper())
    assert "\x1b" not in printed


@pytest.mark.usefixtures("mine")
def test_the_request_id_may_be_that_of_the_header(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(b"<html>", headers={"X-Camguard-Request-Id": "r-1"}) as server:
        assert main([*CALL, "--key", ALICE, "--url", server.url, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["request_id"] == "r-1"


# options beside --key and --url, exit code, the end of stderr
WRONG = [
    pytest.param(
        ["--key", "AKIDnobody"], 2, "it has keys of uin/100000000101, ", id="the keys that there are"
    ),
    pytest.param(["--key", "AKIDnobody"], 2, "no enabled key 'AKIDnobody'", id="a key that does not exist"),
    pytest.param(["--key", "uin/1"], 2, "no enabled key 'uin/1'", id="a principal without a key"),
    pytest.param(["--action", "nosuch:Act"], 2, "no version of nosuch is known", id="no known version"),
    pytest.param(["--action", "TextToImage"], 2, "is not an action such as", id="an action without service"),
    pytest.param(["--body", "[1]"], 2, "is not a JSON object", id="a body that is no object"),
    pytest.param(["--body", "{"], 2, "is not a JSON object", id="a body that is no JSON"),
    pytest.param(["--host", "a\r\nb"], 2, "is not the name of a host", id="a host with a line break"),
    pytest.param(["--ip", "10.1"], 2, "is not an IP address", id="no address"),
    pytest.param(["--timeout", "0"], 2, "is not a number of seconds", id="no time to wait"),
    pytest.param(["--timeout", "nan"], 2, "is not a number of seconds", id="a time that is no number"),
    pytest.param(["--api-version", "1"], 2, "is not a version such as", id="no version"),
    pytest.param(["--region", "GZ"], 2, "is not a region such as", id="no region"),
    pytest.param(["--url", "127.0.0.1:1"], 2, "is not http(s)://host[:port]", id="a URL without scheme"),
    pytest.param(["--url", "http://h/path"], 2, "is not http(s)://host[:port]", id="a URL with a path"),
    pytest.param(["--url", "http://h:99999"], 2, "is not http(s)://host[:port]", id="no port"),
    pytest.param(["--url", "http://[::1"], 2, "is not http(s)://host[:port]", id="an open bracket"),
    pytest.param(["--url", "http://é"], 2, "is not http(s)://host[:port]", id="a host that is not ASCII"),
    pytest.param(["--url", "http://a..b"], 1, "http://a..b:80: no answer: ", id="a host with an empty label"),
    pytest.param([], 1, "http://127.0.0.1:1: no answer: Connection refused", id="nobody listens"),
]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("options", "code", "says"), WRONG)
def test_what_cannot_be_sent_is_reported(
    options: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*CALL, "--key", ALICE, "--url", "http://127.0.0.1:1", *options]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err.splitlines()[-1]


@pytest.mark.usefixtures("mine")
def test_the_password_of_a_url_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CALL, "--key", ALICE, "--url", "http://me:SECRET@127.0.0.1:1"]) == 2
    assert "SECRET" not in capsys.readouterr().err


def test_a_principal_with_two_keys_needs_a_secret_id(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = json.loads((mine / "keys.json").read_text())
    row = next(row for row in keys.values() if row["principal"] == ALICE)
    (mine / "keys.json").write_text(json.dumps({**keys, "AKIDsecond": row}))
    assert main([*CALL, "--key", ALICE, "--url", "http://127.0.0.1:1"]) == 2
    assert f"{ALICE} has 2 keys" in capsys.readouterr().err


def test_keys_that_others_may_read_are_not_used(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "keys.json").chmod(0o644)
    assert main([*CALL, "--key", ALICE, "--url", "http://127.0.0.1:1"]) == 3
    assert "chmod 600" in capsys.readouterr().err


class Answering(HTTPServer):
    """A server that gives one answer to everything. received: the headers of each request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = (status, headers, body)
        self.received: list[dict[str, str]] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Answering:  # noqa: PYI034
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(PATIENCE)


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        self.server.received.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers["content-length"]))
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def answering(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answering:
    """Return a server that gives this answer."""
    return Answering(status, headers or {}, body)
