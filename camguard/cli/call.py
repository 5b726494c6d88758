"""`camguard call`: signs one call with a key of keys.json, sends it, and prints the answer."""

from __future__ import annotations

import argparse
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from camguard.authn.credentials import AccessKey, KeyRing
from camguard.authn.key_store import load_keys
from camguard.authn.tc3 import sign_tc3
from camguard.catalog.known_services import carried
from camguard.cli.inputs import add_config, require_config
from camguard.cli.output import Document, add_format, complain, paint, show
from camguard.cli.parser import UsageError, argument, matching, region
from camguard.cli.principals import read_listing
from camguard.errors import AddressError, BundleError
from camguard.exit_codes import Exit
from camguard.grammar import ACTION_NAME, HOST_LABEL, VERSION, VERSION_RULE
from camguard.ipset import format_address, parse_address
from camguard.request.rejection import DEFAULT_CODE, SERVICE_CODES
from camguard.settings import Settings, load_settings
from camguard.suggest import few

CONTENT_TYPE: Final = "application/json"
# The codes with which a policy refuses a call, camguard's policies or the cloud's own.
REFUSALS: Final = frozenset((DEFAULT_CODE, *SERVICE_CODES.values()))
_ACTION: Final = re.compile(rf"{HOST_LABEL.pattern}:{ACTION_NAME.pattern}")
_HOST: Final = re.compile(
    rf"{HOST_LABEL.pattern}(?:\.{HOST_LABEL.pattern})*(?::[0-9]{{1,5}})?", re.IGNORECASE
)
_PORTS: Final = {"http": 80, "https": 443}
_ANSWER_BYTES: Final = 16 << 20
_OWNERS: Final = 5  # that a message lists
_HOUR: Final = 3600.0
_OK: Final = range(200, 300)


class Answer(NamedTuple):
    """An HTTP answer. request_id: from camguard's header, empty when the answer has no such header."""

    status: int
    body: bytes
    request_id: str


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `call`."""
    parser = verbs.add_parser(
        "call",
        help="sign one call with a key of keys.json and send it; exit code 0 answered, 6 refused by policy",
        description="Sign one call (TC3-HMAC-SHA256) with a key of the settings' identity.keys_file, send "
        "it, and print status, answer and request id. Exit code 0: the call was answered without an error. "
        "6: a policy refuses it. 1: any other error, such as a wrong signature, or no answer. For https, the "
        "environment variable SSL_CERT_FILE names the certificates to trust.",
    )
    option = parser.add_argument
    text = "a secret id of the keys file, or the principal whose only key it is (uin/..., role/... or a name)"
    option("--key", required=True, metavar="KEY", help=text)
    option(
        "--action",
        required=True,
        type=matching(_ACTION, "an action such as aiart:TextToImage"),
        metavar="SERVICE:NAME",
        help="service as the host names it",
    )
    text = "where the call is sent: http(s)://host[:port]"
    option("--url", required=True, type=_url, metavar="URL", help=text)
    option(
        "--body", type=_body, default=b"{}", metavar="JSON", help="parameters, a JSON object (default: {})"
    )
    option("--region", type=region, metavar="REGION", help="X-TC-Region (default: none)")
    text = "X-TC-Version (default: the newest that camguard knows)"
    option("--api-version", type=matching(VERSION, VERSION_RULE), metavar="VERSION", help=text)
    text = "host that is signed and sent (default: the service below the first of hosts.roots)"
    option("--host", type=matching(_HOST, "the name of a host"), metavar="HOST", help=text)
    text = "address of the client in the forwarding header; the gateway believes it only of a trusted proxy"
    option("--ip", type=argument(_plain_address, AddressError), metavar="ADDRESS", help=text)
    option("--timeout", type=_timeout, default=30.0, metavar="SECONDS", help="wait so long (default: 30)")
    add_config(parser)
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Send one signed call and print the answer. Raises SettingsError for settings or keys that are wrong."""
    settings = load_settings(require_config(args.config))
    ring = load_keys(settings.identity.keys_file)
    key = find_key(ring, args.key if ring.find(args.key.encode()) else principal_of(args.key, settings))
    service = args.action.partition(":")[0]
    version = args.api_version or _newest_version(service)
    if version is None:
        raise UsageError(f"no version of {service} is known: give --api-version")
    headers = signed_headers(args, settings, key, version, int(time.time()))
    try:
        answer = send(args.url, headers, args.body, args.timeout)
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        complain(f"{args.url[0]}://{args.url[1]}:{args.url[2]}: no answer: {_why(error)}")
        return Exit.UNEXPECTED
    document = describe(args.action, key, answer)
    show(args.format, document, render)
    return {"answered": Exit.OK, "refused": Exit.DENY}.get(str(document["outcome"]), Exit.UNEXPECTED)


def find_key(ring: KeyRing, text: str) -> AccessKey:
    """Return the access key with a secret id, or the only one of a principal. Raises UsageError."""
    key = ring.find(text.encode())
    owned = ring.owned_by(text)
    if key is not None or len(owned) == 1:
        return key or owned[0]
    if owned:
        raise UsageError(f"--key: {text} has {len(owned)} keys; name one by its secret id")
    owners = few(list(dict.fromkeys(principal for _, principal in ring.owners())), _OWNERS)
    raise UsageError(f"--key: the keys file has no enabled key {text!r}; it has keys of {owners or 'nobody'}")


def principal_of(text: str, settings: Settings) -> str:
    """Return the principal that alone has a name in the bundle, else the text itself."""
    try:
        entries = tuple(read_listing(Path(settings.policy.source)).entries)
    except (BundleError, OSError):  # a call needs no bundle
        return text
    named = [entry.principal for entry in entries if entry.name == text]
    return named[0] if len(named) == 1 else text


def signed_headers(
    args: argparse.Namespace, settings: Settings, key: AccessKey, version: str, now: int
) -> dict[str, str]:
    """Return the headers of the call, `Authorization` among them. now: seconds since the epoch."""
    service, _, name = args.action.partition(":")
    host = args.host or f"{service}.{settings.hosts.roots[0]}"
    signature = sign_tc3(key, service, content_type=CONTENT_TYPE, host=host, payload=args.body, timestamp=now)
    headers = {
        "Host": host,
        "Content-Type": CONTENT_TYPE,
        "X-TC-Action": name,
        "X-TC-Version": version,
        "X-TC-Timestamp": str(now),
        "X-TC-Region": args.region,
        "X-TC-Token": key.token.decode() or None,
        "Authorization": signature,
    }
    if args.ip is not None:
        forwarded = settings.client_ip.header == "forwarded"
        quoted = f'"[{args.ip}]"' if ":" in args.ip else args.ip
        headers["Forwarded" if forwarded else "X-Forwarded-For"] = f"for={quoted}" if forwarded else args.ip
    return {name: value for name, value in headers.items() if value is not None}


def send(url: tuple[str, str, int], headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
    """Send one POST and return the answer. url: scheme, host, port. timeout: seconds for each wait.

    Raises OSError, HTTPException and, for a host that no name server can be asked for, UnicodeError.
    """
    scheme, host, port = url
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    try:
        connection.request("POST", "/", body, dict(headers))
        response = connection.getresponse()
        answer = response.read(_ANSWER_BYTES)
        return Answer(response.status, answer, response.getheader("X-Camguard-Request-Id") or "")
    finally:
        connection.close()


def describe(action: str, key: AccessKey, answer: Answer) -> dict[str, Any]:
    """Return the document of an answer."""
    try:
        content: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        content = answer.body.decode(errors="replace")
    response = _member(content, "Response")
    error = _member(response, "Error")
    code = _member(error, "Code")
    good = isinstance(response, dict) and "Error" not in response and answer.status in _OK
    return {
        "outcome": "refused" if str(code) in REFUSALS else "answered" if good else "failed",
        "status": answer.status,
        "code": code,
        "request_id": _member(response, "RequestId") or answer.request_id or None,
        "action": action,
        "principal": key.principal,
        "key": key.label,
        "answer": content,
    }


def _member(value: Any, name: str) -> Any:
    """Return a member of an object; None of anything else."""
    return value.get(name) if isinstance(value, dict) else None


def render(document: Document) -> Iterator[str]:
    """Yield the outcome, then status, request id and the answer as it came."""
    outcome = document["outcome"]
    word = paint(outcome.upper(), "good" if outcome == "answered" else "bad")
    code = f"  {document['code']}" if document["code"] else ""
    yield f"{word}{code}  {document['action']} as {document['principal']} with the key {document['key']}"
    answer = document["answer"]
    rows = (
        ("status", f"{document['status']} {_phrase(document['status'])}".rstrip()),
        ("request id", document["request_id"] or "none"),
        ("answer", answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)),
    )
    yield from (f"  {paint(f'{label:<12}', 'dim')}{cell}" for label, cell in rows)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _newest_version(service: str) -> str | None:
    """Return the newest API version that camguard knows of a service or of the host label."""
    known = carried().services.values()
    versions = [version for each in known if service in (each.name, *each.hosts) for version in each.versions]
    return max(versions, default=None)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _url(text: str) -> tuple[str, str, int]:
    """Return scheme, host and port. camguard accepts the path `/` only, so a URL has no other."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    rest = (parts.path.strip("/"), parts.query, parts.fragment, parts.username, not text.isascii())
    if parts.scheme not in _PORTS or not parts.hostname or any(rest):
        raise argparse.ArgumentTypeError(f"{text.rpartition('@')[2]!r} is not http(s)://host[:port]")
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _body(text: str) -> bytes:
    try:
        good = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise argparse.ArgumentTypeError("is not a JSON object")
    return text.encode()


def _plain_address(text: str) -> str:
    return format_address(parse_address(text))


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= _HOUR:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 3600")
    return seconds
