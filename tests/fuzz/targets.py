"""Every reader of text that comes from outside, as a function of bytes.

Used by hypothesis, atheris and the clock. A target returns what its reader returns. What its reader may
raise, the error of its kind, is caught here; anything else is a finding.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import parse_keys
from camguard.catalog import load_catalog, parse_catalog
from camguard.catalog.labels import ApiAction
from camguard.catalog_import.html_tables import read_html
from camguard.catalog_import.page import read_page
from camguard.enforcement.request_tags import cut_tag_paths, read_request_tags
from camguard.enforcement.resource_binding import bind_resources
from camguard.enforcement.service_index import ServiceIndex
from camguard.engine.action_index import ActionIndex
from camguard.engine.principals import read_principals
from camguard.engine.resource_tags import Inventory, read_inventory
from camguard.errors import AddressError, BundleError, CatalogError, PolicyError, SettingsError
from camguard.grammar import ACTION_NAME
from camguard.ipset import IpSet, format_address, parse_address, parse_range
from camguard.lint import CatalogView, lint
from camguard.policy.document import parse_document
from camguard.request.attributes_header import read_attributes
from camguard.request.body_formats import _read_json, _read_multipart, body_format
from camguard.request.client_address import forwarded_client, socket_place
from camguard.request.head import RequestHead, read_head
from camguard.request.params import Lookalikes, action_of, nest, parse_params
from camguard.request.rejection import Rejection, rejection
from camguard.settings import IdentitySettings, load_settings
from camguard.strict_json import read_json
from tests import stage
from tests.authn.signing import (
    BODY,
    FORM,
    HOST,
    NOW,
    RULES,
    SECRET_ID,
    head_of,
    keys,
    tc3_head,
    v1,
)
from tests.catalog_import import shapes

NAMES = Lookalikes(frozenset(), re.compile("(?!)"))  # the parameters are wanted, whatever their names

ROOT = Path(__file__).resolve().parents[2]
MALFORMED = rejection("query_malformed")
TRUSTED = IpSet.of(("10.0.0.0/8", "2001:db8::/32"))
CATALOG = load_catalog(ROOT / "config" / "catalog")
VIEW = CatalogView(ActionIndex(CATALOG))
SERVICES = ServiceIndex(stage.CATALOG, stage.BUNDLE.owner, stage.SETTINGS.hosts, stage.SETTINGS.limits)
ATTRIBUTE_KEYS = frozenset(("qcs:mfa", "qcs:vpc", "cos:prefix"))
TAG_PATHS = cut_tag_paths(("TagSpecification[].Tags", "Tags"))
SIGNED = tc3_head()
FORM_HEAD = head_of("POST", b"", [("host", HOST), ("content-type", FORM)])


class Held:
    """Keys that do not change."""

    keys = keys()


IDENTIFY = authenticator(IdentitySettings(mode="either", allow_v1=True, bind_signatures=True), Held())


def lines_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return header lines of a text, one a line, as any server might hand them over."""
    pairs = (line.partition(b":") for line in data.split(b"\n"))
    return [(name.lower(), value) for name, _, value in pairs]


def head(data: bytes) -> object:
    """Header block, the query on its first line."""
    query, _, block = data.partition(b"\n")
    scope = {
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "query_string": query,
        "headers": lines_of(block),
    }
    return read_head(scope, RULES)


def connection(data: bytes) -> object:
    """The value of one `Connection` header, beside what a client usually sends."""
    scope = {
        "method": "POST",
        "http_version": "1.1",
        "path": "/",
        "query_string": b"",
        "headers": [*stage.SDK, (b"connection", data)],
    }
    return read_head(scope, RULES)


def query(data: bytes) -> object:
    """Query and form."""
    params = parse_params(data, 1000, MALFORMED)
    if isinstance(params, Rejection):
        return params
    nest(params)
    return action_of(params)


def content_type(data: bytes) -> object:
    """Content-Type."""
    return body_format(data)


def json_body(data: bytes) -> object:
    """JSON body that is only searched for an action, and one whose parameters name resources."""
    entry = stage.CATALOG.services["cvm"].actions["StopInstances"]
    _read_json(data, "StopInstances", None, depth=64, limit=1000)
    found = _read_json(data, "StopInstances", NAMES, depth=64, limit=1000)
    templates = SERVICES.templates(ApiAction(entry, (entry,)))
    if isinstance(found, Rejection) or templates is None:
        return found
    return bind_resources(templates, found, "ap-guangzhou")


def multipart_body(data: bytes) -> object:
    """Multipart body between `--b` lines."""
    return _read_multipart(data, b"b", "QueryArea", NAMES, limit=1000, region=None)


def authorization(data: bytes) -> object:
    """Authorization of a TC3 call."""
    head = SIGNED._replace(authorization=data)
    return IDENTIFY.caller(head, "aiart", BODY, (), False, NOW)


def v1_form(data: bytes) -> object:
    """Parameters of a form that carries a v1 signature."""
    params = parse_params(data, 1000, MALFORMED)
    if isinstance(params, Rejection):
        return params
    signed = (*params, ("SecretId", SECRET_ID))
    digest = "sha256" if ("SignatureMethod", "HmacSHA256") in params else "sha1"
    good = v1("POST", signed, digest=digest)
    return IDENTIFY.caller(FORM_HEAD, "aiart", data, (*signed, ("Signature", good)), False, NOW)


def identity_header(data: bytes) -> object:
    """Identity header of a trusted proxy."""
    head = SIGNED._replace(authorization=None, identity=data)
    return IDENTIFY.caller(head, "aiart", b"{}", (), True, NOW)


def attributes_header(data: bytes) -> object:
    """Attributes header of a trusted proxy (T137)."""
    return read_attributes(data, ATTRIBUTE_KEYS, peer_trusted=True)


def inventory(data: bytes) -> object:
    """resource_tags.json: what is read finds the tags of every resource that it lists (DEC-66)."""
    with contextlib.suppress(BundleError):
        tree = read_json(data, "t", BundleError, "ResourceTagsError")
        found = read_inventory(tree, "t", stage.BUNDLE.owner)
        if isinstance(found, Inventory):
            assert all(found.tags_of(resource) == tags for resource, tags in tree.items())
        return found
    return None


def request_tags(data: bytes) -> object:
    """Tags in a JSON body (DEC-65)."""
    found = _read_json(data, "RunInstances", NAMES, depth=64, limit=1000)
    tags = None if isinstance(found, Rejection) else read_request_tags(TAG_PATHS, found)
    assert tags is None or all(key and isinstance(value, str) for key, value in tags.items())
    return found


def forwarded_for(data: bytes) -> object:
    """X-Forwarded-For, a line each."""
    return forwarded_client(tuple(data.split(b"\n")), TRUSTED, "x-forwarded-for")


def forwarded(data: bytes) -> object:
    """Forwarded (RFC 7239), a line each."""
    return forwarded_client(tuple(data.split(b"\n")), TRUSTED, "forwarded")


def peer(data: bytes) -> object:
    """Address of a socket."""
    return socket_place(data.decode("utf-8", "surrogateescape"))


def address(data: bytes) -> object:
    """Address: what is read is written and read again."""
    with contextlib.suppress(AddressError):
        place = parse_address(data.decode("utf-8", "surrogateescape"))
        assert parse_address(format_address(place)) == place
        return place
    return None


def cidr(data: bytes) -> object:
    """CIDR: what is read is written and read again."""
    with contextlib.suppress(AddressError):
        first, last = parse_range(data.decode("utf-8", "surrogateescape"))
        found = IpSet.of_ranges([(first, last)])
        assert IpSet.of(found.cidrs()) == found
        assert first in found
        assert last in found
        return found
    return None


def naming(data: bytes) -> object:
    """Host, content type, action, version, region, a line each."""
    parts = [*data.split(b"\n"), None, None, None, None][:5]
    return SERVICES.named[("POST", parts[0] or b"", *parts[1:])]  # type: ignore[index]  # as many as a naming has


def policy(data: bytes) -> object:
    """Policy document, linted where it is one."""
    with contextlib.suppress(PolicyError):
        return list(lint(parse_document(data, "p.json"), VIEW))
    return None


def principals(data: bytes) -> object:
    """principals.json."""
    with contextlib.suppress(BundleError):
        return read_principals(read_json(data, "p", BundleError, "PrincipalsError"), "p")
    return None


def keys_file(data: bytes) -> object:
    """keys.json."""
    with contextlib.suppress(SettingsError):
        return parse_keys(data, "keys.json")
    return None


def catalog_file(data: bytes) -> object:
    """One file of a catalog."""
    with contextlib.suppress(CatalogError):
        return parse_catalog({"aiart.json": data})
    return None


def catalog_page(data: bytes) -> object:
    """A page of the documentation."""
    return read_page(data, "page.txt")


def html_page(data: bytes) -> object:
    """A saved page in HTML, and the same text in a document of Markdown."""
    read_html(data.decode(errors="replace"))
    found = read_page(data, "page.html")
    for row in found.rows:
        assert ACTION_NAME.fullmatch(row.name)
        assert row.resources
    return found


_FOLDER = tempfile.TemporaryDirectory(prefix="camguard-fuzz-")


def settings_file(data: bytes) -> object:
    """camguard.toml."""
    file = Path(_FOLDER.name) / "camguard.toml"
    file.write_bytes(data)
    with contextlib.suppress(SettingsError):
        return load_settings(file, {})
    return None


RUNNER = asyncio.Runner()  # one loop for all: to make one costs more than to read a request
atexit.register(RUNNER.close)


def request(data: bytes) -> object:
    """A whole request, from head and body to a decision: the query, the head, an empty line, the body."""
    block, _, body = data.partition(b"\n\n")
    query, _, head = block.partition(b"\n")
    play = stage.Play(authentication=IDENTIFY, clock=lambda: NOW)
    request = stage.Request(
        lines=tuple(lines_of(head)), query=query, chunks=(body,), client=(stage.OFFICE, 1), length=False
    )
    reply = RUNNER.run(play.serve(request))
    assert len(reply.records) == 1
    assert not (reply.reached and not reply.records[0].decision)
    assert reply.detail != "internal_error", "an exception was caught on the way"
    return reply


class Target(NamedTuple):
    """One reader. seeds: good inputs to start from. words: pieces that mean something to it."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


def _file(*path: str) -> bytes:
    return ROOT.joinpath("config", *path).read_bytes()


def _head(found: RequestHead) -> bytes:
    return b"\n".join(name + b":" + value for name, value in found.lines)


JSON_WORDS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\u0041",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"-0",
    b"null",
    b"true",
    b"\xef\xbb\xbf",
)
ADDRESS_WORDS = (b"::", b"::ffff:", b"1.2.3.4", b"/", b"%eth0", b"[", b"]", b":80", b"0", b"255", b"\xc2\xb2")
PARAM_WORDS = (
    b"&",
    b"=",
    b"Action",
    b"action",
    b"%41ction",
    b"Action[]",
    b"%00",
    b"%",
    b"+",
    b";",
    b"a.0.b",
    b"SecretId",
    b"Signature",
    b"Timestamp=1700000000",
    b"%CC%95%CC%80",
)
PAGE_WORDS = (
    b"|",
    b"\\|",
    b"<br>",
    b"---",
    b"*",
    b"qcs::aiart:$region:$account:job/${JobId}",
    b"Supported",
    b"Read Operation",
    b"API",
    b"\n",
)
HTML_WORDS = (
    *(b"<table>", b"</table>", b"<tr>", b"<td>", b"</td>", b'<td rowspan="3">', b"<td colspan=2>", b"<th"),
    *(
        b"<!--",
        b"-->",
        b"<script>",
        b"</script>",
        b"<p>",
        b"<br>",
        b"</body>",
        b"&nbsp;",
        b"&#x",
        b"&lt;",
        b"<",
    ),
    *(b'"', b"'", b">", b"Operation level", b"*", b"Supported", b"API", b"<meta charset=gbk>", b"\xff", b"|"),
)
_HTML = [write for shape, write in shapes.WRITTEN.items() if shape.startswith("HTML")]
SETTINGS_WORDS = (
    *(
        b"[[",
        b"]]",
        b"[limits]\n",
        b"body_bytes = ",
        b"'''",
        b'"""',
        b"{",
        b"}",
        b"0x",
        b"1979-05-27",
        b"nan",
    ),
    *(b"[client_ip]\n", b'trusted_proxies = ["10.0.0.0/8"]\n', b"\\u0000", b"= 1\n"),
)
HEAD_WORDS = (
    *(b"\n", b":", b"host:aiart.tencentcloudapi.com\n", b"x-tc-action:QueryArea\n", b"x_tc_action:A\n"),
    *(
        b"connection:host\n",
        b"transfer-encoding:chunked\n",
        b"content-length:2\n",
        b"x-forwarded-for:1.2.3.4\n",
    ),
    *(b"authorization:SKIP\n", b"upgrade:h2c\n", b"x-camguard-principal:100000000101\n", b"\x00", b"\t"),
)
_POLICIES = sorted((ROOT / "config" / "bundle" / "policies").glob("*.json"))
_PAGE = b"""CAM-Enabled API
| Product | Abbreviation in CAM | Console | Tag | Granularity | IP |
|---|---|---|---|---|---|
| X | aiart | Supported | Not supported | Operation-level | Supported |
Write Operations
| API | Description | Resource | IP |
|---|---|---|---|
| TextToImage | draws | `*` | Supported |
"""

TARGETS: Mapping[str, Target] = {
    "header block": Target(head, (b"A=1\n" + _head(SIGNED),), HEAD_WORDS),
    "Connection": Target(connection, (b"keep-alive, x-note",), (b",", b"close", b"x-tc-action", b" ")),
    "query and form": Target(query, (b"Action=QueryArea&Limit=1", b"A.0=x&A.1=y"), PARAM_WORDS),
    "Content-Type": Target(
        content_type,
        (b"application/json; charset=utf-8", b'multipart/form-data; boundary="b"'),
        (b";", b"=", b'"', b"charset", b"boundary"),
    ),
    "JSON body": Target(
        json_body, (b'{"InstanceIds":["ins-1"]}', b'{"Action":"StopInstances","A":{"B":[1]}}'), JSON_WORDS
    ),
    "multipart body": Target(
        multipart_body,
        (b'--b\r\nContent-Disposition: form-data; name="Action"\r\n\r\nQueryArea\r\n--b--\r\n',),
        (b"--b", b"\r\n", b'name="Action"', b'filename="x"', b"--", b"Content-Type: a/b", b"\\"),
    ),
    "Authorization (TC3)": Target(
        authorization,
        (
            SIGNED.authorization or b"",
            (SIGNED.authorization or b"").replace(b"SHA256 ", b"SHA256  ").replace(b", ", b" ,"),
        ),
        (
            b"/",
            b", ",
            b"  ",
            b" ,",
            b"AIART",
            b"SignedHeaders=",
            b";",
            b"Signature=",
            b"2023-11-14",
            b"0" * 64,
        ),
    ),
    "v1 form": Target(
        v1_form,
        (b"Action=TextToImage&Nonce=1&Timestamp=1700000000&Version=2022-12-29&SignatureMethod=HmacSHA256",),
        PARAM_WORDS,
    ),
    "identity header": Target(
        identity_header, (b"100000000101", b"role/bot"), (b"uin/", b"*", b",", b"role/")
    ),
    "attributes header": Target(
        attributes_header,
        (b'{"qcs:mfa": "true", "cos:prefix": ["a", "b"], "qcs:vpc": []}', b"{}"),
        (*JSON_WORDS, b'"qcs:mfa"', b'"qcs:ip"', b'["a"]'),
    ),
    "resource_tags.json": Target(
        inventory,
        (
            b'{"qcs::cvm:gz::instance/ins-1": {"dept": "rd"}}',
            b'{"qcs:id/0:cvm:ap-guangzhou:uid/1250000001:instance/2": {}, "qcs::cvm:::x": {"a": ""}}',
        ),
        (*JSON_WORDS, b"qcs:", b":", b"uin/", b"uid/", b"*", b"id/0", b"gz", b"ap-guangzhou"),
    ),
    "tags in a request": Target(
        request_tags,
        (
            b'{"TagSpecification":[{"Tags":[{"Key":"dept","Value":"rd"}]}],"Limit":1}',
            b'{"Tags":[{"TagKey":"a","TagValue":""}]}',
        ),
        (*JSON_WORDS, b'"Tags"', b'"Key"', b'"Value"', b'"TagKey"', b'"tags"', b"[]"),
    ),
    "X-Forwarded-For": Target(
        forwarded_for, (b"203.0.113.7, 10.0.0.1",), (*ADDRESS_WORDS, b",", b"\n", b" ")
    ),
    "Forwarded": Target(
        forwarded,
        (b'for="[2001:db9::1]:80";proto=https, for=10.0.0.1', b";for=203.0.113.7 ;; by=x;"),
        (*ADDRESS_WORDS, b"for=", b'"', b",", b";", b"\\", b"by="),
    ),
    "peer": Target(peer, (b"203.0.113.7", b"fe80::1%eth0"), ADDRESS_WORDS),
    "address": Target(address, (b"203.0.113.7", b"2001:db8::1", b"::ffff:1.2.3.4"), ADDRESS_WORDS),
    "CIDR": Target(cidr, (b"10.217.182.3/24", b"2001:db8::/32", b"::ffff:10.0.0.0/104"), ADDRESS_WORDS),
    "host, action, version, region": Target(
        naming,
        (
            b"aiart.tencentcloudapi.com\napplication/json\nTextToImage\n2022-12-29\nap-guangzhou",
            b"aiart.tencentcloudapi.com\napplication/json\nTextToImage\n\nnull",
        ),
        (b"\n", b".", b":443", b"internal", b"gw.example", b"\r"),
    ),
    "policy": Target(
        policy,
        tuple(path.read_bytes() for path in _POLICIES),
        (
            *JSON_WORDS,
            b'"effect"',
            b'"qcs:ip"',
            b"ip_equal",
            b"*",
            b"${uin}",
            b"qcs::cvm:::*",
            b"for_all_value:",
        ),
    ),
    "principals.json": Target(
        principals,
        (_file("bundle", "principals.json"),),
        (*JSON_WORDS, b'"groups"', b'"owner"', b'"account"', b'"boundary"'),
    ),
    "keys.json": Target(
        keys_file,
        (b'{"AKIDEXAMPLE":{"secret_key":"0123456789abcdef0123","principal":"uin/100000000101"}}',),
        (*JSON_WORDS, b'"session_policy"', b'"expires"', b'"2026-02-31T00:00:00Z"'),
    ),
    "catalog file": Target(
        catalog_file, (_file("catalog", "aiart.json"),), (*JSON_WORDS, b'"bind"', b"${", b'"resources"')
    ),
    "catalog page": Target(catalog_page, (_PAGE,), PAGE_WORDS),
    "HTML page": Target(html_page, tuple(write(shapes.TOYS).encode() for write in _HTML), HTML_WORDS),
    "printed page": Target(
        catalog_page,
        tuple(shapes.file_of("toybox", shape).read_bytes() for shape in shapes.PROGRAMS),
        (
            *PAGE_WORDS,
            b"  ",
            b" " * 40,
            b"+-----+",
            b"----- -----",
            "│".encode(),
            "玩".encode(),
            b"[1]",
            b"\\",
        ),
    ),
    "camguard.toml": Target(settings_file, (_file("camguard.toml"),), SETTINGS_WORDS),
    "whole request": Target(
        request,
        (
            b"\n" + _head(SIGNED) + b'\n\n{"Prompt":"a cat"}',
            b"Action=QueryArea\n" + _head(SIGNED) + b"\n\n{}",
        ),
        (*HEAD_WORDS, *PARAM_WORDS, b"\n\n"),
    ),
}
