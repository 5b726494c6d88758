"""What random documents and calls are made of: few words, so that they meet, and the edges of each format."""

from __future__ import annotations

from typing import Any

OWNER, APP_ID = "100100", "125"
SERVICES = ("aiart", "cvm", "cos", "svcx", "account", "c2")
NAMES = (
    "TextToImage",
    "TextTo",
    "Describe",
    "DescribeImage",
    "RunJob",
    "BindToken",
    "describe",
    "Run2",
    "X",
)
REGIONS = (
    *("", "ap-guangzhou", "gz", "*", "ap-*", "bj", "ap-beijing", "*-guangzhou", "g*", "shjr", "**", "cq"),
    *("GZ", "AP-guangzhou", "AP-*", "Bj", "*-Guangzhou"),
)
ACCOUNTS = (
    "",
    "uin/100100",
    "uid/125",
    "uin/",
    "*",
    "uin/*",
    "uin/100200",
    "uid/999",
    "uin/1*",
    "uid/100100",
    "uid/",
    *("uid/*", "100100", "100200", "125", "$account", "Uin/100100", "owner", "uin/x", "uin"),
)
WANTED = (
    *("*", "instance/*", "instance/ins-1", "instance/ins-1/*", "instance/", "inst*", "*/ins-*", "i*/i*-1*"),
    *(
        "instance/ins-*/*",
        "**",
        "a:b/*",
        "eip/*",
        "instance/${uin}",
        "${owner_uin}/*",
        "x${app_id}*",
        "inst*/",
    ),
    *("instance/${qcs:principal_tag_key}", "Instance/*", "*1", "instance/ins-1*", "/", "*/", "ins?ance/*"),
    "${uin}/${app_id}",
)
REQUESTED = (
    *(
        "instance/ins-1",
        "instance/ins-2",
        "instance/*",
        "instance/ins-1/",
        "instance/",
        "instance",
        "*",
        "x125",
    ),
    *(
        "eip/eip-1",
        "a:b/c",
        "instance/100101",
        "100100/x",
        "100101/125",
        "instance/ins-1/x/y",
        "",
        "ins?ance/q",
        "/",
        "1",
    ),
    *("Instance/ins-1", "instance/ins-10", "instance/role-bot"),
)
ADDRESSES = (
    *("10.0.0.0", "10.0.0.128", "10.0.1.0", "10.0.0.255", "10.0.0.64", "255.255.255.255", "128.0.0.0"),
    *("0.0.0.0", "127.255.255.255", "192.0.2.77", "::", "::1", "2001:db8::", "2001:db8::ff"),  # noqa: S104
    *("::ffff:10.0.0.0", "::fffe:0:0", "::ffff:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::10.0.0.0"),
    *("::1:0:0:0", "64:ff9b::10.0.0.1"),
)
DATES = (
    *("2026-01-01T00:00:00Z", "2026-01-01 00:00:00", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.1Z"),
    *("2026-01-01T00:00:00.000000001Z", "2025-12-31T23:59:59.999999999Z", "2024-02-29T12:00:00Z"),
    *("1970-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "9999-12-31T23:59:59Z", "0001-01-01 00:00:00"),
)
NUMBERS = (
    *("1", "0", "-1", "1.0", "10", "1e1", "100", "101", "0.1", "+1", "1e-400"),
    *("9007199254740993", "9007199254740992"),
)
WORDS = (
    "a",
    "A",
    "b",
    "ab",
    "",
    "a*",
    "é",
    "É",
    "100101",
    "100100",
    "1",
    "0",
    "dept&rd",
    "env&prod",
    "x/125/y",
    "ẞ",
    "ß",
)
LIKES = (
    "a*",
    "*",
    "**",
    "*b",
    "*a*",
    "a",
    "dept&*",
    "*rd",
    "${uin}*",
    "*&*",
    "A*",
    "x/${app_id}/*",
    "?*",
    "",
)
VARIABLES = ("${uin}", "${owner_uin}", "${app_id}", "${qcs:principal_tag_value}", "1${uin}", "${uin}0")
TAG_SETS: tuple[dict[str, str], ...] = (
    *({}, {"dept": "rd"}, {"dept": "rd", "env": "prod"}, {"dept": "RD"}, {"env": ""}, {"dept": "a&b"}),
    *({"a&b": ""}, {"dept": "rd", "note": "a&b"}, {"a/b": "x"}, {"owner": "100101", "dept": "rd"}),
)
# Values of a region key: names, old codes, and what matches one of both only (DEC-64).
REGION_NAMES = ("ap-guangzhou", "gz", "ap-shanghai", "ap-shanghai-fsi", "shjr", "sh", "GZ", "ap-tokyo", "")
REGION_LIKES = (*REGION_NAMES, "g*", "*z", "*zhou", "ap-*", "sh*", "*")
TAG_VALUES = ("dept&rd", "env&prod", "dept&RD", "env&", "dept&a&b", "a&b&", "owner&${uin}", "a/b&x")

STRING = ("string_equal", "string_not_equal", "string_like", "string_not_like")
CASELESS = ("string_equal_ignore_case", "string_not_equal_ignore_case")
ORDERS = ("equal", "not_equal", "less_than", "less_than_equal", "greater_than", "greater_than_equal")
NUMERIC = tuple(f"numeric_{order}" for order in ORDERS)
DATE = tuple(f"date_{order}" for order in ORDERS)
IP = ("ip_equal", "ip_not_equal")
EVERY = (*STRING, *CASELESS, *NUMERIC, *DATE, *IP, "bool_equal", "binary_equal", "null_equal")
KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("qcs:ip", IP),
    ("qcs:current_time", DATE),
    ("qcs:read_only_action", NUMERIC),
    ("qcs:resource_tag", (*STRING, *CASELESS, "null_equal", "binary_equal")),
    ("qcs:request_tag", (*STRING, *CASELESS, "null_equal", "binary_equal")),
    ("qcs:tag", (*STRING, "null_equal", "binary_equal")),
    ("qcs:resource_tag/dept", (*STRING, *CASELESS, "null_equal", "binary_equal")),
    ("qcs:request_tag/dept", (*STRING, "null_equal", "binary_equal")),
    ("qcs:tag/a/b", (*STRING, *CASELESS, "null_equal", "binary_equal")),
    ("mfa", (*NUMERIC, "string_equal", "string_not_equal")),
    ("qcs:mfa", ("bool_equal",)),
    ("qcs:BindToken", ("bool_equal",)),
    ("qcs:uin", STRING),
    ("qcs:create_uin", ("string_equal",)),
    ("qcs:vpc", (*STRING, *CASELESS, "null_equal")),
    ("vpc:requester_vpc", (*STRING, *CASELESS, "null_equal")),
    ("product", EVERY),
    ("cvm_system_disk_size", NUMERIC),
    ("cos:prefix", EVERY),
    ("cos:x", EVERY),
    ("cvm:region", EVERY),
    ("cos:x/y z", EVERY),
    ("cos:b", ("binary_equal",)),
)
STRANGE = ("x", "", "True", " 1", "1e1000", "10.0.0.0/8", "2026-01-01")
CONTEXT_KEYS = (
    *("mfa", "qcs:mfa", "qcs:BindToken", "qcs:uin", "qcs:create_uin", "vpc:requester_vpc", "product"),
    "qcs:vpc",
    *(
        "cvm_system_disk_size",
        "cos:prefix",
        "cos:x",
        "cvm:region",
        "cos:x/y z",
        "qcs:ip",
        "cos:b",
        "qcs:tag",
        "qcs:resource_tag/dept",
        "qcs:read_only_action",
    ),
)

# Where a fault is put, and what is put there: an element, an operator, a key, a value of an operator, or an
# operator under a key that may not take it (CAM 8.1).
FAULTS: dict[str, tuple[Any, ...]] = {
    "version": (None, [], 7, "x", 2.0, "1.0", "1", "2012-10-17"),
    "statement": (None, [], 7, "x", {}),
    "effect": (None, [], 7, "x", "ALLOW", "Deny ", True),
    "action": (
        *(None, [], 7, "x", "aiart", "a:b:c", "a: b", "a:?", "permid/1", "actionName:x", ["*", 1], "name/*"),
        *("a:${uin}", "a:", ":a", "**"),
    ),
    "resource": (
        *(None, [], 7, "x", "qcs::a:b", "qcs::a:b:c:", "qcs:1:a:b:c:d", "qcs::${uin}:::x", "qcs:::::${x}"),
        *("", "**", "qcs::cos:::a/${uin}", "qcs::b:::${uin"),
    ),
    "condition": (None, [1], [[]], "x", {"string_equal": {}}, {"ip_equal": []}),
    "principal": ("*",),
    "notAction": ("*",),
    "Effect": ("allow",),
    "operator": (
        "string_equals",
        "null_equal_if_exist",
        "x:string_equal",
        "ip_like",
        "",
        "string_equal_if_exists",
    ),
    "key": (
        *("qcs:Ip", "ip", "qcs:ip", "qcs:ip/x", "qcs:resource_tag/", "cos:", "Cos:x", "cos:a b", ""),
        *("qcs:resource_tag/${uin}",),
    ),
    "pair": tuple((operator, key) for key, _ in KEYS for operator in EVERY),
    "string_like": ("a*b", "***", "${x}", "${uin", [], [["a"]], [None], True),
    "numeric_equal": ("", "NaN", " 1", "1.", "1e1000", "n${uin}", True, {}),
    "date_equal": ("2026-01-01", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00+00:00", 1, "${uin}"),
    "ip_equal": (
        *("10.0.0.256", "010.0.0.1", "10.0.0.0/33", "::ffff:10.0.0.0/95", "10.0.0.0/255.0.0.0", "fe80::1%1"),
        *("10.0.0.0/08", "", "${uin}", 1),
    ),
    "bool_equal": ("True", 1, "${uin}", ""),
    "null_equal": ("TRUE", 0, None),
}
