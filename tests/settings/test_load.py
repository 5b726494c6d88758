"""camguard.toml: the settings that it gives, and the problem reported for each way to get it wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.errors import SettingsError
from camguard.ipset import IpSet, parse_address
from camguard.settings import Address, Settings, load_settings

SHIPPED = Path(__file__).parents[2] / "config" / "camguard.toml"
SHIPPED_BYTES = SHIPPED.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


def settings_of(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    file = tmp_path / "camguard.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(file, environ)


def problems_of(tmp_path: Path, toml: str = "", **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings_of(tmp_path, toml, **environ)
    assert {problem.code for problem in caught.value.problems} == {"SettingsError"}
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert settings.catalog.path == tmp_path / "catalog"
    assert settings.policy.source == str(tmp_path / "bundle")
    assert (settings.policy.poll_seconds, settings.policy.max_age_seconds) == (2.0, 0.0)
    assert settings.hosts.roots == ("tencentcloudapi.com", "tencentcloudapi.cn", "tencentcloudapi.com.cn")
    assert settings.identity.mode == "signature"
    assert settings.identity.keys_file == tmp_path / "keys.json"
    assert settings.identity.header == "x-camguard-principal"
    assert settings.client_ip.trusted_proxies == IpSet((), ())
    assert settings.enforcement.candidate is None
    assert settings.decision_log.path == "-"
    assert settings.metrics.actions == ("*",)
    assert settings.gateway.listen == Address("127.0.0.1", 8080)
    assert settings.gateway.authorizer is None
    assert settings.upstream == {"default": "http://127.0.0.1:8081"}
    assert settings.limits.body_bytes == 10 * 1024 * 1024


@pytest.mark.parametrize(
    "switch",
    [
        *("identity.allow_v1", "identity.allow_unsigned_payload", "identity.bind_signatures"),
        *("client_ip.allow_any_proxy", "client_ip.trust_unix_socket", "client_ip.allow_any_egress"),
    ],
)
def test_what_loosens_is_off_by_default(tmp_path: Path, switch: str) -> None:
    section, key = switch.split(".")
    assert settings_of(tmp_path).effective()[section][key] is False


def test_settings_made_by_hand_are_the_defaults_too() -> None:
    made = Settings()
    assert made.gateway.listen == Address("127.0.0.1", 8080)
    assert made.catalog.path == Path("catalog")


def test_the_shipped_file_loads() -> None:
    assert load_settings(SHIPPED, {}).catalog.path == SHIPPED.parent / "catalog"


def test_the_shipped_file_names_every_setting() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    known = Settings().effective()
    missing = [
        f"{section}.{key}" for section, keys in known.items() for key in keys if f"\n{key} = " not in text
    ]
    assert missing == []


PROXIED = '[client_ip]\ntrusted_proxies = ["10.0.0.1"]\n'
ATTRIBUTES = PROXIED + '[attributes]\nheader = "x-a"\nkeys = '

GOOD = [
    pytest.param('[catalog]\npath = "/etc/c"', "catalog.path", "/etc/c", id="an absolute path stays"),
    pytest.param(
        '[policy]\nsource = "https://x.example/b.tar.gz"',
        "policy.source",
        "https://x.example/b.tar.gz",
        id="a URL is no path",
    ),
    pytest.param("[policy]\npoll_seconds = 5", "policy.poll_seconds", 5.0, id="seconds may be whole"),
    pytest.param(
        '[hosts]\nroots = ["Gw.Corp.Example", "localhost"]',
        "hosts.roots",
        ["gw.corp.example", "localhost"],
        id="domains in lower case",
    ),
    pytest.param('[identity]\nheader = "X-Who"', "identity.header", "x-who", id="a header in lower case"),
    pytest.param(
        '[client_ip]\ntrusted_proxies = ["10.9.8.7/8", "::1", "::ffff:192.0.2.1"]',
        "client_ip.trusted_proxies",
        ["10.0.0.0/8", "192.0.2.1", "::1"],
        id="ranges are masked, mapped addresses are IPv4",
    ),
    pytest.param(
        '[client_ip]\ntrusted_proxies = ["0.0.0.0/0"]\nallow_any_proxy = true',
        "client_ip.trusted_proxies",
        ["0.0.0.0/0"],
        id="every address may be a proxy if two settings agree",
    ),
    pytest.param(
        '[client_ip]\negress = {"10.0.0.0/8" = "203.0.113.7"}',
        "client_ip.egress",
        {"10.0.0.0/8": "203.0.113.7"},
        id="T132 a range and the address that policies mean",
    ),
    pytest.param(
        '[client_ip]\negress = {"0.0.0.0/0" = "203.0.113.7"}\nallow_any_egress = true',
        "client_ip.egress",
        {"0.0.0.0/0": "203.0.113.7"},
        id="T132 every address may be mapped if two settings agree",
    ),
    pytest.param(
        f'{PROXIED}[attributes]\nheader = "X-Camguard-Attributes"\nkeys = ["qcs:mfa"]',
        "attributes.header",
        "x-camguard-attributes",
        id="T137 an attributes header in lower case",
    ),
    pytest.param(
        f'{PROXIED}[attributes]\nheader = "x-a"\nkeys = ["qcs:vpc", "cos:prefix", "qcs:vpc"]',
        "attributes.keys",
        ["cos:prefix", "qcs:vpc"],
        id="T137 keys without repetitions",
    ),
    pytest.param('[enforcement]\ncandidate = ""', "enforcement.candidate", None, id="no candidate"),
    pytest.param('[decision_log]\npath = ""', "decision_log.path", "", id="no log"),
    pytest.param(
        '[metrics]\nactions = ["cvm:Run*", "*"]', "metrics.actions", ["cvm:Run*", "*"], id="patterns"
    ),
    pytest.param('[gateway]\nlisten = "[::1]:0"', "gateway.listen", "[::1]:0", id="IPv6 with any port"),
    pytest.param('[gateway]\nlisten = "localhost:80"', "gateway.listen", "localhost:80", id="a name"),
    pytest.param('[gateway]\nadmin = ""', "gateway.admin", None, id="no admin listener"),
    pytest.param('[hosts]\nhealth_path = ""', "hosts.health_path", None, id="no health path"),
    pytest.param(
        '[hosts]\nhealth_path = "/a/.well-known/x"',
        "hosts.health_path",
        "/a/.well-known/x",
        id="a health path",
    ),
    pytest.param('[log]\nlevel = "warning"', "log.level", "warning", id="a level"),
    pytest.param('[log]\nformat = "json"', "log.format", "json", id="a log for programs"),
    pytest.param(
        '[hosts]\naliases = {volumes = "cvm"}', "hosts.aliases", {"volumes": "cvm"}, id="DEC-68 an alias"
    ),
    pytest.param(
        '[hosts]\nshared = ["Gateway.Corp.example"]\nshared_by = "header"',
        "hosts.shared",
        ["gateway.corp.example"],
        id="T123 a shared host",
    ),
    pytest.param(
        '[hosts]\nshared = ["gateway.corp.example"]\n[upstream]\naiart = "echo"',
        "hosts.shared_by",
        "upstream",
        id="T123 a shared host and a service with an upstream of its own",
    ),
    pytest.param(
        '[upstream]\naiart = "https://h.example:8443/"',
        "upstream.aiart",
        "https://h.example:8443",
        id="an upstream without its slash",
    ),
    pytest.param('[upstream]\ndefault = "echo"', "upstream.default", "echo", id="the embedded upstream"),
]


@pytest.mark.parametrize(("toml", "key", "value"), GOOD)
def test_a_good_value(tmp_path: Path, toml: str, key: str, value: object) -> None:
    section, name = key.split(".")
    assert settings_of(tmp_path, toml).effective()[section][name] == value


# the file, the beginning of its problem
BAD = [
    pytest.param(
        '[gateway]\nlisten = "8080"',
        '#/gateway/listen: \'8080\' is not an address with a port, such as "127.0.0.1:8080" or "[::1]:8080"',
        id="a port alone",
    ),
    *(
        pytest.param(
            f'[gateway]\nlisten = "{text}"',
            f"#/gateway/listen: '{text}' is not an address",
            id=f"listen {text}",
        )
        for text in (
            ":80",
            "::1:80",
            "[127.0.0.1]:80",
            "127.1:80",
            "a_b:80",
            "h:65536",
            "h:+1",
            "h:08",
            "h",
            "h:",
        )
    ),
    pytest.param(
        "[gateway]\nworkers = 0", "#/gateway/workers: 0 is not a whole number from 1 to 256", id="no worker"
    ),
    pytest.param(
        "[gateway]\nworkers = true", "#/gateway/workers: true is not a whole number", id="true is no number"
    ),
    pytest.param(
        '[gateway]\nworkers = "2"', "#/gateway/workers: '2' is not a whole number", id="text is no number"
    ),
    pytest.param(
        "[gateway]\nworkers = 1.0", "#/gateway/workers: 1.0 is not a whole number", id="a float is not whole"
    ),
    pytest.param(
        '[gateway]\nadmin = "127.0.0.1:8080"',
        "#/gateway/admin: 127.0.0.1:8080 is already taken by gateway.listen",
        id="two listeners at one address",
    ),
    pytest.param(
        "[policy]\npoll_seconds = nan", "#/policy/poll_seconds: nan is not a number of seconds", id="nan"
    ),
    pytest.param("[policy]\npoll_seconds = inf", "#/policy/poll_seconds: inf is not a number", id="infinity"),
    pytest.param(
        "[policy]\npoll_seconds = -1", "#/policy/poll_seconds: -1 is not a number", id="negative seconds"
    ),
    pytest.param(
        '[hosts]\nroots = ["x.example"]\nshared = ["ok.example", "gw.x.example"]\nshared_by = "header"',
        "#/hosts/shared/1: gw.x.example names the service gw by hosts.roots",
        id="T123 a shared host that names a service",
    ),
    pytest.param(
        '[hosts]\nshared = ["gateway.ai.tencentcloudapi.cn"]\nshared_by = "header"',
        "#/hosts/shared/0: gateway.ai.tencentcloudapi.cn names the service gateway",
        id="T123 a shared host that is a form of a host of the vendor",
    ),
    pytest.param(
        '[hosts]\nshared = ["gateway.corp.example"]',
        "#/hosts/shared: needs an upstream for each service",
        id="T123 a shared host and one upstream for all services",
    ),
    pytest.param(
        '[identity]\nheader = "x-camguard-service"',
        "#/identity/header: 'x-camguard-service' is a reserved header",
        id="T123 the header that names the service",
    ),
    pytest.param(
        "[policy]\npoll_seconds = 10\nmax_age_seconds = 5",
        "#/policy/max_age_seconds: is below poll_seconds",
        id="an age that every poll exceeds",
    ),
    pytest.param(
        '[policy]\nsource = "ftp://x/y"', "#/policy/source: 'ftp://x/y' is not a folder or", id="a scheme"
    ),
    pytest.param(
        '[policy]\nsource = "https://u:p@x/y"',
        "#/policy/source: 'https://...@x/y' is not a folder",
        id="a password in a URL, which is not quoted",
    ),
    pytest.param(
        '[upstream]\naiart = "http://u@h"',
        "#/upstream/aiart: 'http://...@h' is not \"echo\" or http",
        id="a user in an upstream, who may be a token",
    ),
    pytest.param(
        '[upstream]\naiart = "http://u:p/w@h/x?y#z"',
        "#/upstream/aiart: 'http://...@h/x?...' is not \"echo\" or http",
        id="a password with a slash in an upstream",
    ),
    pytest.param('[catalog]\npath = ""', "#/catalog/path: '' is not a path", id="an empty path"),
    *(
        pytest.param(
            f'[hosts]\nhealth_path = "{path}"',
            f"#/hosts/health_path: {path!r} is not an absolute path other than",
            id=f"T136 the health path {path[:20]}",
        )
        for path in ("/", "healthz", "//x", "/x/", "/a/../b", "/.", "/a?b", "/%68", "/a b")
    ),
    pytest.param(
        f'[hosts]\nhealth_path = "/{"x" * 256}"', "#/hosts/health_path: ", id="T136 a very long health path"
    ),
    pytest.param(
        '[log]\nlevel = "INFO"', "#/log/level: 'INFO' is not \"debug\" or", id="a level in capitals"
    ),
    pytest.param('[log]\nformat = "text"', "#/log/format: 'text' is not \"logfmt\" or", id="a format"),
    pytest.param(
        '[catalog]\npath = "a\\u0000b"', r"#/catalog/path: 'a\x00b' is not text without", id="a NUL"
    ),
    pytest.param(
        '[gateway]\nadmin_hosts = ["ok", "a.example:9464"]',
        "#/gateway/admin_hosts/1: 'a.example:9464' is not a domain name",
        id="a name with a port",
    ),
    pytest.param(
        '[gateway]\nadmin_hosts = ["*"]', "#/gateway/admin_hosts/0: '*' is not a domain name", id="any name"
    ),
    pytest.param(
        '[hosts]\naliases = {Volumes = "cvm"}',
        "#/hosts/aliases/Volumes: 'Volumes' is not a host label",
        id="DEC-68 an alias in capitals",
    ),
    pytest.param(
        "[hosts]\naliases = {volumes = 1}",
        "#/hosts/aliases/volumes: 1 is not a service",
        id="DEC-68 an alias for a number",
    ),
    pytest.param(
        '[hosts]\naliases = {cvm = "cvm"}',
        "#/hosts/aliases/cvm: names itself",
        id="DEC-68 an alias for itself",
    ),
    pytest.param(
        "[hosts]\naliases = []",
        "#/hosts/aliases: a list is not a table",
        id="DEC-68 aliases that are a list",
    ),
    pytest.param("[hosts]\nroots = []", "#/hosts/roots: must list at least one domain", id="no domain"),
    pytest.param(
        '[hosts]\nroots = "x.example"', "#/hosts/roots: 'x.example' is not a list", id="text is no list"
    ),
    *(
        pytest.param(
            f'[hosts]\nroots = ["ok", "{text}"]',
            f"#/hosts/roots/1: '{text}' is not a domain name",
            id=f"root {text}",
        )
        for text in ("", "a.b.", ".a", "a..b", "*.a", "a:80", "10.0.0.1", "a/b", "-a", "a_b")
    ),
    pytest.param(
        '[identity]\nmode = "none"',
        """#/identity/mode: 'none' is not "signature" or "header" or "either" or "claimed\"""",
        id="an unknown mode",
    ),
    pytest.param(
        "[identity]\nallow_v1 = 1", "#/identity/allow_v1: 1 is not true or false", id="1 is not true"
    ),
    pytest.param(
        '[identity]\nallow_v1 = "false"', "#/identity/allow_v1: 'false' is not true", id="text is not false"
    ),
    *(
        pytest.param(
            f'[identity]\nheader = "{text}"',
            f"#/identity/header: '{text}' is a reserved header; choose another name",
            id=f"identity header {text}",
        )
        for text in (
            *("Authorization", "host", "x-tc-action", "x-tc-anything", "X-Forwarded-For", "forwarded"),
            *("Content-Language", "http2-settings", "trailers", "proxy-user"),
        )
    ),
    *(
        pytest.param(
            f'[identity]\nheader = "{text}"',
            f"#/identity/header: '{text}' is not a header name",
            id=f"identity header {text!r}",
        )
        for text in ("a_b", "a b", "", "é")
    ),
    pytest.param(
        '[identity]\nmode = "header"',
        '#/identity/mode: "header" accepts identity from trusted proxies only',
        id="an identity header that no peer is trusted to send",
    ),
    pytest.param(
        '[client_ip]\ntrusted_proxies = ["10.0.0.0/8", "localhost"]',
        "#/client_ip/trusted_proxies/1: 'localhost' is not an IP address",
        id="a name is no range",
    ),
    pytest.param(
        '[client_ip]\ntrusted_proxies = ["10.0.0.0/33"]', "#/client_ip/trusted_proxies/0: ", id="a prefix"
    ),
    pytest.param(
        "[client_ip]\ntrusted_proxies = [10]", "#/client_ip/trusted_proxies/0: 10 is not text", id="a number"
    ),
    *(
        pytest.param(
            f"[client_ip]\ntrusted_proxies = {texts}",
            f"#/client_ip/trusted_proxies: contains all of {whole}, so every client could claim any address",
            id=f"T111 {texts}",
        )
        for texts, whole in (
            ('["0.0.0.0/0"]', "0.0.0.0/0"),
            ('["::/0"]', "::/0"),
            ('["0.0.0.0/1", "128.0.0.0/1"]', "0.0.0.0/0"),
            ('["::ffff:0:0/96"]', "0.0.0.0/0"),
            ('["10.0.0.0/8", "::/1", "8000::/1"]', "::/0"),
        )
    ),
    pytest.param(
        '[client_ip]\nheader = "x-real-ip"', "#/client_ip/header: 'x-real-ip' is not ", id="a header"
    ),
    pytest.param(
        '[metrics]\nactions = ["TextToImage"]', "#/metrics/actions/0: ", id="an action without service"
    ),
    *(
        pytest.param(
            f'[upstream]\naiart = "{text}"',
            f"#/upstream/aiart: '{text}' is not \"echo\" or http",
            id=f"upstream {text}",
        )
        for text in (
            *(
                "h:80",
                "ftp://h",
                "http://",
                "http://h/p",
                "http://h?",
                "http://h#",
                "http://h:0",
            ),
            *(
                "http://h:65536",
                "http://h:x",
                "http://h:",
                "http://[::1",
                "http://h h",
                "http://é",
                "Echo",
                "",
            ),
        )
    ),
    pytest.param(
        '[upstream]\ndefualt = "echo"', "#/upstream/defualt: did you mean default", id="a misspelt default"
    ),
    pytest.param(
        '[upstream]\n"a/b" = "echo"', "#/upstream/a~1b: 'a/b' is neither", id="a service with a slash"
    ),
    pytest.param(
        "[limits]\nbody_bytes = 300000000",
        "#/limits/body_bytes: is above buffered_bytes",
        id="one body too many",
    ),
    pytest.param(
        "[limits]\nform_bytes = 99999999", "#/limits/form_bytes: is above body_bytes", id="a form above all"
    ),
    pytest.param(
        "[limits]\nconcurrency = 0", "#/limits/concurrency: 0 is not a whole number", id="no room at all"
    ),
    pytest.param(
        "[gateway]\nlistn = 1",
        "#/gateway/listn: unknown key; did you mean gateway.listen",
        id="a misspelt key",
    ),
    pytest.param(
        "[gateway]\ntrusted_proxies = []",
        "#/gateway/trusted_proxies: unknown key; did you mean client_ip.trusted_proxies",
        id="a key of another section",
    ),
    pytest.param('[gateway]\n"a\\nb" = 1', r"#/gateway/a\nb: unknown key", id="a key with a line break"),
    pytest.param("[gatway]\n", "#/gatway: unknown section; did you mean [gateway]", id="a misspelt section"),
    pytest.param(
        "workers = 2",
        "#/workers: unknown section; workers belongs to [gateway]",
        id="a key without section",
    ),
    pytest.param("gateway = 1", "#/gateway: 1 is not a table; write [gateway]", id="a section that is none"),
    pytest.param(
        "[[gateway]]\n", "#/gateway: a list is not a table; write [gateway]", id="a section many times"
    ),
    pytest.param(
        "[gateway.listen]\na = 1", "#/gateway/listen: a table is not text", id="a table for a value"
    ),
    pytest.param("[gateway]\nlisten = 1979-05-27", "#/gateway/listen: ", id="a date"),
    pytest.param("[gateway\n", ":1: is not TOML: ", id="no TOML, with its line"),
    pytest.param("a = " + "[" * 5000, ": is not TOML: ", id="nested without end"),
    pytest.param(
        "[limits]\nbody_bytes = " + "1" * 5000, ": is not TOML: a whole number has", id="an endless number"
    ),
    pytest.param(
        "[limits]\nbody_bytes = 0x" + "1" * 5000,
        ": is not TOML: a whole number has",
        id="an endless hex number",
    ),
]


BAD += [
    pytest.param(f"[client_ip]\negress = {value}", f"#/client_ip/egress{message}", id=f"T132 egress {value}")
    for value, message in (
        ("[]", ": a list is not a table such as"),
        ('"x"', ": 'x' is not a table such as"),
        ('{"10.0.0.0/8" = 1}', "/10.0.0.0~18: 1 is not text"),
        ('{"10.0.0.0/8" = "::1"}', "/10.0.0.0~18: '10.0.0.0/8' is not of the address family of ::1"),
        ('{"10.0.0.0/8" = "1.2.3.0/24"}', "/10.0.0.0~18: '1.2.3.0/24' is not an IP address"),
        ('{"x" = "1.2.3.4"}', "/x: 'x' is not an IP address"),
        (
            '{"10.0.0.0/8" = "1.2.3.4", "10.9.9.9/8" = "1.2.3.4"}',
            ": '10.9.9.9/8' is the same range as another",
        ),
        ('{"0.0.0.0/0" = "1.2.3.4"}', ": maps all of 0.0.0.0/0"),
        ('{"0.0.0.0/1" = "1.2.3.4", "128.0.0.0/1" = "1.2.3.4"}', ": maps all of 0.0.0.0/0"),
        ('{"::/0" = "::1"}', ": maps all of ::/0"),
    )
]
BAD += [
    pytest.param(
        f'{ATTRIBUTES}["{key}"]', f"#/attributes/keys/0: '{key}' is a condition key that", id=f"T137 {key}"
    )
    for key in (
        *(
            "qcs:ip",
            "qcs:current_time",
            "qcs:resource_tag",
            "qcs:resource_tag/dept",
            "qcs:request_tag",
            "qcs:tag/a",
        ),
        *("qcs:uin", "qcs:owner_uin", "qcs:read_only_action", "cvm:region", "vpc:region"),
    )
]
BAD += [
    pytest.param(f"{PROXIED}[attributes]\n{text}", f"#/attributes/{message}", id=f"T137 {text}")
    for text, message in (
        ('header = "x-a"', "keys: lists no condition key"),
        ('keys = ["qcs:mfa"]', "header: names no header"),
        ('header = "x-a"\nkeys = ["qcs:mfaa"]', "keys/0: 'qcs:mfaa' is not a condition key (did you mean"),
        ('header = "x_a"\nkeys = ["qcs:mfa"]', "header: 'x_a' is not a header name"),
        *(
            (f'header = "{name}"\nkeys = ["qcs:mfa"]', f"header: {end}")
            for name, end in (
                *(("x-camguard-principal", "'x-camguard-principal' is a header with another meaning"),),
                *(("X-Camguard-Service", "'X-Camguard-Service' is a reserved header; choose another name"),),
                *(("x-camguard-request-id", "'x-camguard-request-id' is a header with another meaning"),),
                *(("x-real-ip", "'x-real-ip' is a header with another meaning"),),
                *(("x-original-url", "'x-original-url' is a header with another meaning"),),
                *(("remote-user", "'remote-user' is a header with another meaning"),),
                *(
                    (name, f"'{name}' is a reserved header")
                    for name in ("host", "x-tc-action", "x-forwarded-for")
                ),
                *((name, f"'{name}' is a reserved header") for name in ("forwarded", "connection", "cookie")),
            )
        ),
    )
]
BAD += [
    pytest.param(
        '[identity]\nheader = "x-a"\n' + ATTRIBUTES + '["qcs:mfa"]',
        "#/attributes/header: x-a is the header of identity.header",
        id="T137 the identity header",
    ),
    pytest.param(
        '[attributes]\nheader = "x-a"\nkeys = ["qcs:mfa"]',
        "#/attributes/header: attributes are accepted from trusted proxies only",
        id="T137 no trusted proxy",
    ),
]


@pytest.mark.parametrize(("toml", "message"), BAD)
def test_a_bad_value(tmp_path: Path, toml: str, message: str) -> None:
    problems = problems_of(tmp_path, toml)
    assert len(problems) == 1
    assert problems[0].startswith(f"camguard.toml{message}")
    assert problems[0].isprintable()


def test_every_problem_is_listed(tmp_path: Path) -> None:
    toml = '[gateway]\nlisten = 1\nnope = 2\n[client_ip]\ntrusted_proxies = ["a", "b"]\n[x]\n'
    places = [problem.split(": ")[0] for problem in problems_of(tmp_path, toml, CAMGUARD_LIMITS__PARAMS="x")]
    assert sorted(places) == [
        "CAMGUARD_LIMITS__PARAMS",
        "camguard.toml#/client_ip/trusted_proxies/0",
        "camguard.toml#/client_ip/trusted_proxies/1",
        "camguard.toml#/gateway/listen",
        "camguard.toml#/gateway/nope",
        "camguard.toml#/x",
    ]


def test_a_long_value_is_cut_in_its_message(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f'[identity]\nmode = "{"x" * 10_000}"')
    assert len(problem) < 250


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml", {})


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "camguard.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load_settings(tmp_path / "camguard.toml", {})


OVERRIDES = [
    pytest.param("GATEWAY__LISTEN", "0.0.0.0:80", "gateway.listen", "0.0.0.0:80", id="text as it is"),
    pytest.param("GATEWAY__ADMIN", "", "gateway.admin", None, id="text that is empty"),
    pytest.param("GATEWAY__WORKERS", "4", "gateway.workers", 4, id="a number"),
    pytest.param("IDENTITY__ALLOW_V1", "true", "identity.allow_v1", True, id="a switch"),
    pytest.param("GATEWAY__ADMIN_HOSTS", '["A.example"]', "gateway.admin_hosts", ["a.example"], id="names"),
    pytest.param("HOSTS__ROOTS", '["a.example"]', "hosts.roots", ["a.example"], id="a list"),
    pytest.param(
        "CLIENT_IP__EGRESS",
        '{"10.0.0.0/8" = "203.0.113.7"}',
        "client_ip.egress",
        {"10.0.0.0/8": "203.0.113.7"},
        id="a table",
    ),
    pytest.param("UPSTREAM__DEFAULT", "echo", "upstream.default", "echo", id="an upstream"),
    pytest.param(
        "UPSTREAM__AIART", "http://h:1", "upstream.aiart", "http://h:1", id="an upstream of a service"
    ),
]


@pytest.mark.parametrize(("name", "text", "key", "value"), OVERRIDES)
def test_an_override(tmp_path: Path, name: str, text: str, key: str, value: object) -> None:
    section, field = key.split(".")
    toml = '[gateway]\nworkers = 9\nlisten = "h:1"\n[upstream]\ndefault = "http://x"\n'
    settings = settings_of(tmp_path, toml, **{f"CAMGUARD_{name}": text})
    assert settings.effective()[section][field] == value


def test_an_override_starts_from_the_folder_of_the_file(tmp_path: Path) -> None:
    assert settings_of(tmp_path, CAMGUARD_CATALOG__PATH="c").catalog.path == tmp_path / "c"


BAD_OVERRIDES = [
    pytest.param(
        "GATEWAY__WORKERS", "four", "'four' is not a TOML literal such as 1", id="a word for a number"
    ),
    pytest.param(
        "GATEWAY__WORKERS", "1\n[x]", r"'1\n[x]' is not a TOML literal", id="a line break smuggles nothing"
    ),
    pytest.param("GATEWAY__WORKERS", "0", "0 is not a whole number from 1 to 256", id="a bad number"),
    pytest.param(
        "HOSTS__ROOTS",
        "a.example",
        """'a.example' is not a TOML literal such as ["a", "b"]""",
        id="a bare word",
    ),
    pytest.param("LIMITS__BODY_BYTES", "1" * 5000, "is not a TOML literal such as", id="an endless number"),
    pytest.param("IDENTITY__ALLOW_V1", "yes", "'yes' is not a TOML literal such as false", id="yes"),
    pytest.param("GATEWAY__LISTN", "x", "unknown key; did you mean gateway.listen", id="a misspelt key"),
    pytest.param("GATWAY__LISTEN", "x", "unknown section; did you mean [gateway]", id="a misspelt section"),
    pytest.param(
        "GATEWAY_LISTEN",
        "x",
        "is not the name of a setting; did you mean CAMGUARD_GATEWAY__LISTEN",
        id="one underscore",
    ),
    pytest.param("ANYTHING", "x", "is not the name of a setting; did you mean ", id="nothing like a setting"),
    pytest.param("CLIENT_IP__TRUSTED_PROXIES", '["::/0"]', "", id="T111 by the environment"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_OVERRIDES)
def test_a_bad_override(tmp_path: Path, name: str, text: str, message: str) -> None:
    (problem,) = problems_of(tmp_path, **{f"CAMGUARD_{name}": text})
    assert message in problem
    assert name == "CLIENT_IP__TRUSTED_PROXIES" or problem.startswith(f"CAMGUARD_{name}: ")


@pytest.mark.parametrize(
    "name",
    [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_80_TCP",
        "PORT_80_TCP_ADDR",
        "ADMIN_SERVICE_HOST",
    ],
)
def test_what_kubernetes_sets_is_no_setting(tmp_path: Path, name: str) -> None:
    assert settings_of(tmp_path, **{f"CAMGUARD_{name}": "10.0.0.1"}) == settings_of(tmp_path)


def test_what_is_in_force_can_be_printed_and_hides_credentials(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[policy]\nsource = "https://h.example/b.tar.gz?sign=s3cr3t"')
    assert settings.policy.source.endswith("s3cr3t")
    printed = json.dumps(settings.effective())
    assert "s3cr3t" not in printed
    assert "https://h.example/b.tar.gz?..." in printed


def test_a_trusted_range_is_ready_to_ask(tmp_path: Path) -> None:
    proxies = settings_of(tmp_path, '[client_ip]\ntrusted_proxies = ["10.0.0.0/8"]').client_ip.trusted_proxies
    assert parse_address("10.255.0.1") in proxies
    assert parse_address("11.0.0.1") not in proxies


@given(
    flips=st.lists(
        st.tuples(st.integers(0, len(SHIPPED_BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=8
    )
)
def test_a_file_with_bytes_turned_loads_or_is_reported(folder: Path, flips: list[tuple[int, int]]) -> None:
    turned = bytearray(SHIPPED_BYTES)
    for at, byte in flips:
        turned[at] = byte
    (folder / "camguard.toml").write_bytes(turned)
    with contextlib.suppress(SettingsError):
        load_settings(folder / "camguard.toml", {}).effective()


@given(name=st.text(max_size=40), value=st.text(max_size=40))
def test_any_override_loads_or_is_reported(folder: Path, name: str, value: str) -> None:
    (folder / "camguard.toml").write_bytes(b"")
    for key in (name, "GATEWAY__LISTEN", "GATEWAY__WORKERS", "CLIENT_IP__TRUSTED_PROXIES", "UPSTREAM__X"):
        with contextlib.suppress(SettingsError):
            load_settings(folder / "camguard.toml", {f"CAMGUARD_{key}": value})
