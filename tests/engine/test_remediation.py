"""The nearest changes, all of them and in their order: what is proposed for a refused call, and what not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.catalog.model import Catalog
from camguard.engine.call import Call
from camguard.engine.remediation import Cure, allowed_from, nearest_changes
from camguard.ipset import LINE_END, IpSet
from tests import company
from tests.bridge import to_catalog
from tests.casebook import catalogs
from tests.company import OWNER, USER, Statement, allow, deny, inside, outside, policy, principals

CATALOG = to_catalog(catalogs()["main"])


def at(operator: str, moment: str) -> dict[str, Any]:
    return {f"date_{operator}": {"qcs:current_time": moment}}


def tag(operator: str, key: str, value: str) -> dict[str, Any]:
    return {operator: {key: value}}


def bundle(*statements: Statement, more: dict[str, list[Statement]] | None = None) -> Bundle:
    policies = {"p": list(statements), **(more or {})}
    return company.bundle([policy(name, *each) for name, each in policies.items()], CATALOG, principals("p"))


def call(source: str = "9.9.9.9", action: str = "aiart:TextToImage", **more: Any) -> Call:
    return company.call(action, source)._replace(**more)


def reboot(*resources: str | None, **more: Any) -> Call:
    return call(action="cvm:RebootInstances", resources=resources, **more)


def changes(found: Bundle, query: Call) -> list[tuple[int, str]]:
    return [(each.clauses, each.text) for each in found.nearest_changes(query, found.explain(query))]


def added(address: str, at: int = 0, condition: str = "ip_equal", policy: str = "p") -> str:
    """Return the proposal to add an address to the list of one statement."""
    where = f"{policy}#/statement/{at}/condition/{condition}/qcs:ip"
    return f"add {address} to {condition} qcs:ip of {policy}#{at} ({where})"


HOUR, NEXT, LAST = "1970-01-01T01:00:00Z", "1970-01-01T02:00:00Z", "1970-01-01T03:00:00Z"
INS = "qcs::cvm:ap-guangzhou:uin/100100:instance/ins-1"
HERE = policy("session", allow("cvm:*", "qcs::cvm:ap-guangzhou::*"))
EDGE = IpSet.of_ranges(((0, 2**31 - 1), (2**31 + 1, LINE_END - 1))).cidrs()  # all but 128.0.0.0
NOT_FIRST = IpSet.of_ranges(((1, LINE_END - 1),)).cidrs()
NOT_LAST = IpSet.of_ranges(((0, LINE_END - 2),)).cidrs()

ROWS = [
    pytest.param(
        [allow(**inside("0.0.0.0/1"))],
        call("200.0.0.1"),
        [(1, added("200.0.0.1")), (1, "call from 0.0.0.0/1")],
        id="a range that begins where the line does",
    ),
    pytest.param(
        [allow(**outside("9.0.0.0/8"))],
        call(),
        [
            (1, "call from 0.0.0.0/5, 8.0.0.0/8, 10.0.0.0/7, 12.0.0.0/6 or 5 more"),
            (1, "call from outside of 9.0.0.0/8"),
        ],
        id="everywhere but in one range",
    ),
    pytest.param(
        [allow(**inside("1.0.0.0/24", "3.0.0.0/24", "5.0.0.0/24", "7.0.0.0/24"))],
        call(),
        [(1, added("9.9.9.9")), (1, "call from 1.0.0.0/24, 3.0.0.0/24, 5.0.0.0/24, 7.0.0.0/24")],
        id="as many ranges as are named",
    ),
    pytest.param(
        [allow(**outside("0.0.0.0/0"))],
        call(),
        [(1, "call from ::/0"), (1, "call from outside of 0.0.0.0/0")],
        id="the other family",
    ),
    pytest.param(
        [allow(**outside("::/0"))],
        call("::1"),
        [(1, "call from 0.0.0.0/0"), (1, "call from outside of ::/0")],
        id="the first family",
    ),
    pytest.param(
        [allow(**outside(*EDGE))],
        call(),
        [
            (1, "call from 128.0.0.0"),
            (1, "call from outside of 0.0.0.0/1, 128.0.0.1, 128.0.0.2/31, 128.0.0.4/30 or 29 more"),
        ],
        id="one address alone",
    ),
    pytest.param(
        [allow(**outside(*NOT_FIRST))],
        call(),
        [
            (1, "call from 0.0.0.0"),
            (1, "call from outside of 0.0.0.1, 0.0.0.2/31, 0.0.0.4/30, 0.0.0.8/29 or 29 more"),
        ],
        id="the first address alone",
    ),
    pytest.param(
        [allow(**outside(*NOT_LAST))],
        call(),
        [
            (1, "call from ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            (1, "call from outside of 0.0.0.0/0, ::/1, 8000::/2, c000::/3 or 125 more"),
        ],
        id="the last address alone",
    ),
    pytest.param(
        [allow(**inside("1.0.0.0/8", "3.0.0.0/8", "5.0.0.0/8")), deny(**inside("3.0.0.0/8", "5.0.0.0/8"))],
        call(),
        [
            (1, added("9.9.9.9")),
            (1, "call from 1.0.0.0/8"),
            (1, "call from 1.0.0.0/8, 3.0.0.0/8, 5.0.0.0/8"),
        ],
        id="the first of the ranges where others are denied",
    ),
    pytest.param(
        [allow(**at("greater_than_equal", HOUR), **at("less_than", NEXT))],
        call(),
        [(1, f"call from {HOUR} until {NEXT}"), (1, f"call when date_greater_than_equal {HOUR}")],
        id="a window of time",
    ),
    pytest.param(
        [allow(**at("greater_than_equal", HOUR), **at("less_than_equal", NEXT))],
        call(),
        [(1, f"call from {HOUR} until {NEXT}"), (1, f"call when date_greater_than_equal {HOUR}")],
        id="a window with its end",
    ),
    pytest.param(
        [allow("cvm:*", **at("equal", HOUR)), allow(**at("greater_than", NEXT), **at("less_than", LAST))],
        call(),
        [(1, f"call from {NEXT} until {LAST}"), (1, f"call when date_greater_than {NEXT}")],
        id="a window behind a moment that changes nothing",
    ),
    pytest.param(
        [allow(**at("less_than", HOUR)), allow(**at("greater_than_equal", NEXT))],
        call(time=3600.0),
        [(1, f"call from {NEXT}"), (1, f"call when date_less_than {HOUR}"),
         (1, f"call when date_greater_than_equal {NEXT}")],
        id="a window that is over, and one to come",
    ),
    pytest.param(
        [allow(**at("equal", HOUR))],
        call(),
        [(1, f"call from {HOUR}"), (1, f"call when date_equal {HOUR}")],
        id="one moment",
    ),
    pytest.param(
        [allow(**at("greater_than", HOUR))],
        call(time=3600.0),
        [(1, f"call from {HOUR}"), (1, f"call when date_greater_than {HOUR}")],
        id="right after this moment",
    ),
    pytest.param(
        [allow(**at("not_equal", HOUR))],
        call(time=3600.0),
        [(1, f"call from {HOUR}"), (1, f"call when date_not_equal {HOUR}")],
        id="at any other moment",
    ),
    pytest.param(
        [allow(**at("not_equal", HOUR), **at("less_than_equal", HOUR))],
        call(time=3600.0),
        [(1, f"call when date_not_equal {HOUR}")],
        id="at another moment, and an earlier one first",
    ),
    pytest.param(
        [allow(**at("less_than", HOUR), **at("greater_than", "1970-01-01T00:59:58Z"))],
        call(time=7200.0),
        [(1, f"call when date_less_than {HOUR}")],
        id="one second before",
    ),
    pytest.param(
        [allow(**at("greater_than", HOUR), **at("less_than", "1970-01-01T01:00:01.5Z"))],
        call(),
        [(1, f"call from {HOUR} until 1970-01-01T01:00:01Z"), (1, f"call when date_greater_than {HOUR}")],
        id="a short window",
    ),
    pytest.param(
        [allow(**at("greater_than_equal", "1970-01-01T00:00:00Z"))],
        call(time=-5.0),
        [(1, "call from 1970-01-01T00:00:00Z"),
         (1, "call when date_greater_than_equal 1970-01-01T00:00:00Z")],
        id="from the first second on, without an end",
    ),
    pytest.param(
        [allow(**at("greater_than_equal", "1969-12-31T23:00:00Z"))],
        call(time=-5000.0),
        [(1, "call from 1969-12-31T23:00:00Z"),
         (1, "call when date_greater_than_equal 1969-12-31T23:00:00Z")],
        id="from before the first second on, without an end",
    ),
    pytest.param(
        [allow(**at("greater_than_equal", HOUR))],
        call(time=None),
        [(1, f"call when date_greater_than_equal {HOUR}")],
        id="a call without a time",
    ),
    pytest.param(
        [allow(**inside("1.0.0.0/8"), **tag("bool_equal", "cos:secure-transport", "true"))],
        call("1.2.3.4"),
        [(1, "supply cos:secure-transport = true")],
        id="only the clause that does not hold",
    ),
    pytest.param(
        [allow(**inside("1.0.0.0/8")),
         deny(**inside("1.0.0.0/8"), **tag("null_equal", "cos:prefix", "true"))],
        call(context={"cos:prefix": ()}),
        [(1, added("9.9.9.9"))],
        id="nothing is done to make a deny hold",
    ),
    pytest.param(
        [allow(**inside("1.0.0.0/8")),
         deny(**inside("1.0.0.0/8"), **at("less_than", HOUR), **at("greater_than", NEXT))],
        call(),
        [(1, added("9.9.9.9")), (1, "call from 1.0.0.0/8")],
        id="nothing is done to make a deny hold that never does",
    ),
    pytest.param(
        [allow(**tag("string_equal", "cos:a", "1"), numeric_equal={"cos:b": 2}, string_like={"cos:c": "x*"})],
        call(context={"cos:b": ("2",)}),
        [(2, "supply cos:a = 1 and supply cos:c = x")],
        id="keys beside a key that holds",
    ),
    pytest.param(
        [allow(**tag("string_equal", "cos:a", "1"), numeric_equal={"cos:b": 2}),
         allow("aiart:Text*", **tag("string_equal", "cos:c", "3"))],
        call(context=dict.fromkeys(("cos:a", "cos:b", "cos:c"), ())),
        [(1, "supply cos:c = 3"), (2, "supply cos:a = 1 and supply cos:b = 2")],
        id="what changes less comes first, wherever its statement stands",
    ),
    pytest.param(
        [allow(**tag("ip_equal", "cos:place", "1.0.0.1"))],
        call(context={"cos:place": ("9.9.9.9",)}),
        [(1, "supply cos:place = 1.0.0.1")],
        id="no address is added to the list of another key",
    ),
    pytest.param(
        [allow(), deny(**tag("string_equal", "cos:a", "1"))],
        call(context={"cos:a": ("1",)},
             session=policy("p", allow(), deny(**tag("string_equal", "cos:a", "1")))),
        [],
        id="the same deny in a session policy stays",
    ),
    pytest.param(
        [allow(string_like={"cos:c": ["*Xml", "a"]})],
        call(context={"cos:c": ()}),
        [(1, "supply cos:c = Xml")],
        id="the first of several values, without its star",
    ),
    pytest.param(
        [allow("cvm:*", **tag("for_any_value:string_like", "qcs:resource_tag", "dept*"))],
        reboot(INS, resource_tags={}),
        [(1, "have the tag dept= on the resource")],
        id="a tag of which a pattern names the key",
    ),
    pytest.param(
        [allow("cvm:*", **tag("for_any_value:string_equal", "qcs:resource_tag", "a&b"),
               **tag("string_not_equal", "qcs:resource_tag/c/d", "e"))],
        reboot(INS, resource_tags={"f": "g", "c/d": "e"}),
        [(2, "have the tag a=b on the resource and have the tag c/d=e-other on the resource")],
        id="tags of the resource beside others",
    ),
    pytest.param(
        [allow("cvm:*", **tag("for_any_value:string_equal", "qcs:resource_tag", "a&b"),
               **tag("string_equal", "qcs:resource_tag/c", "d"))],
        reboot(INS, resource_tags={"c": "d"}),
        [(1, "have the tag a=b on the resource")],
        id="a tag of the resource that is there stays",
    ),
    pytest.param(
        [allow("cvm:*", **tag("for_any_value:string_equal", "qcs:request_tag", "a&b"),
               **tag("string_equal", "qcs:request_tag/c", "d"))],
        reboot(INS, request_tags={"c": "d"}),
        [(1, "have the tag a=b on the request")],
        id="a tag of the request that is there stays",
    ),
    pytest.param(
        [allow("cvm:*", **tag("string_equal", "qcs:request_tag/c", "d"))],
        reboot(INS),
        [(1, "have the tag c=d on the request")],
        id="a tag of a request that has none",
    ),
    pytest.param(
        [allow("cvm:*", **tag("string_equal", "qcs:resource_tag/c", "d"))],
        reboot(INS),
        [(1, "have the tag c=d on the resource")],
        id="a tag of a resource of which none are known",
    ),
    pytest.param(
        [allow("cvm:*", ["qcs::cvm:::instance/web-*", "qcs::cvm:::instance/db-*"])],
        reboot(INS),
        [(1, "call it on a resource of qcs::cvm:::instance/web-*")],
        id="the first of several resources",
    ),
    pytest.param(
        [allow("cvm:*", ["qcs::cvm:::instance/web-*", "qcs::cvm:::instance/db-*"]),
         deny("cvm:*", "qcs::cvm:::instance/db-*")],
        reboot(INS),
        [(1, "call it on a resource of qcs::cvm:::instance/web-*")],
        id="the resource that is named is the one that was tried",
    ),
    pytest.param(
        [allow("cvm:*", ["qcs::cvm:ap-beijing::disk/d-1", "qcs::cvm:::instance/ins-1"]), deny("cvm:*", INS)],
        reboot(INS),
        [(1, "narrow or remove the deny p#1")],
        id="a resource that is allowed and denied",
    ),
    pytest.param(
        [allow("cvm:*", ["*", "qcs::cvm:::instance/ins-2"], **inside("1.0.0.0/8")), deny("cvm:*", INS)],
        reboot(INS),
        [],
        id="no other resource where the statement is about all",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/*", **inside("1.0.0.0/8"))],
        reboot(INS),
        [(1, added("9.9.9.9")), (1, "call from 1.0.0.0/8")],
        id="no other resource where this one will do",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:ap-beijing:uin/100100:instance/${uin}-*")],
        reboot(INS),
        [(1, "call it on a resource of qcs::cvm:ap-beijing:uin/100100:instance/${uin}-*")],
        id="another region and the caller's number",
    ),
    pytest.param(
        [allow("cvm:*", "qcs:::*::instance/x"), deny("cvm:*", "qcs::cvm:ap-beijing::*"),
         deny("cvm:*", "qcs::cvm:::*", **inside("1.0.0.0/8"))],
        reboot(INS),
        [(1, "call it on a resource of qcs:::*::instance/x")],
        id="any region means the call's own, and no product the action's",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::*:::instance/x")],
        reboot(INS),
        [(1, "call it on a resource of qcs::*:::instance/x")],
        id="any product",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::*:*::instance/x")],
        reboot(INS, session=HERE),
        [(1, "call it on a resource of qcs::*:*::instance/x")],
        id="any product and any region, where only the call's own will do",
    ),
    pytest.param(
        [allow("cvm:*", "qcs:::::instance/x")],
        reboot(INS, session=HERE),
        [(1, "call it on a resource of qcs:::::instance/x")],
        id="no product and no region, where only the call's own will do",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/x"), deny("cvm:*", "qcs::cvm:ap-beijing::*")],
        reboot(INS),
        [(1, "call it on a resource of qcs::cvm:::instance/x")],
        id="a resource in the call's region, beside a deny of another",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/x"), deny("cvm:*", "qcs::cvm:ap-beijing::*")],
        reboot(None),
        [],
        id="a resource in no region, which a deny may be about",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::vpc:::instance/x")],
        reboot(INS),
        [(1, "call it on a resource of qcs::vpc:::instance/x")],
        id="a resource of another product",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:ap-beijing::${qcs:principal_tag_value}"),
         allow("cvm:*", "qcs::cvm:ap-beijing::*")],
        reboot(INS),
        [(1, "call it on a resource of qcs::cvm:ap-beijing::*")],
        id="no resource where a variable has no value",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/web-*"), deny("cvm:*", "qcs::cvm:::instance/web-")],
        reboot(INS),
        [(1, "call it on a resource of qcs::cvm:::instance/web-*")],
        id="a star stands for something",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/x")],
        reboot(None),
        [(1, "call it on a resource of qcs::cvm:::instance/x")],
        id="a call whose resource could not be read",
    ),
    pytest.param(
        [allow(), deny(**inside("9.0.0.0/8")), deny("*", **tag("string_equal", "cos:a", "1"))],
        call(context={"cos:a": ("1",)}),
        [(2, "narrow or remove the deny p#1, p#2")],
        id="two denies",
    ),
    pytest.param(
        [allow(), *(deny("*", **tag("string_equal", "cos:a", value)) for value in "12")],
        call(context={"cos:a": ("1",)}),
        [(1, "narrow or remove the deny p#1")],
        id="the one of two denies that counts",
    ),
    pytest.param([allow()], call(), [], id="a call that passes"),
    pytest.param([allow()], call(principal="uin/9"), [], id="a principal that is not known"),
    pytest.param([allow()], call(action="aiart:Nope"), [], id="an action that is not known"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "query", "expected"), ROWS)
def test_what_is_proposed(statements: list[Statement], query: Call, expected: list[tuple[int, str]]) -> None:
    assert changes(bundle(*statements), query) == expected


def kinds(found: Bundle, query: Call, most: int = 50) -> list[tuple[Cure, str]]:
    changes = nearest_changes(found.evaluator, found.policies, query, found.explain(query), most=most)
    assert {each.clauses for each in changes if each.kind not in {Cure.CALL, Cure.DENY}} <= {1}
    return [(each.kind, each.text) for each in changes]


IP_FREE = "aiart:TextToImage"


def test_proposals_come_in_the_order_in_which_an_owner_takes_them() -> None:
    more = {"everything": [allow("*")], "lift": [allow()]}
    found = bundle(allow(**inside("1.0.0.0/8")), allow("aiart:Describe*"), more=more)
    assert kinds(found, call()) == [
        (Cure.ADDRESS, added("9.9.9.9")),
        (Cure.CALL, "call from 1.0.0.0/8"),
        (Cure.ACTION, "add aiart:TextToImage to the actions of p#1 (p#/statement/1/action)"),
        (Cure.POLICY, "attach the policy lift"),
        (Cure.EVERYTHING, "attach the policy everything"),
    ]


# statements of the principal's policy, then the proposals of one kind
ADDRESSES = [
    pytest.param([allow(**inside("1.0.0.0/8"))], [added("9.9.9.9")], id="the list of an allow"),
    pytest.param(
        [allow(), deny(**outside("1.0.0.0/8"))],
        [added("9.9.9.9", 1, "ip_not_equal")],
        id="the list of a deny for all others",
    ),
    pytest.param([allow(), deny(**inside("9.0.0.0/8"))], [], id="no list of a deny for these"),
    pytest.param([allow(**outside("9.0.0.0/8"))], [], id="no list of an allow for all others"),
    pytest.param(
        [allow(**inside("1.0.0.0/8"), **tag("string_equal", "cos:a", "1"))],
        [],
        id="one list does not suffice",
    ),
    pytest.param([allow("cvm:*", **inside("1.0.0.0/8"))], [], id="no list of another action"),
    pytest.param([allow(**inside("1.0.0.0/8")), deny()], [], id="a deny stands against it"),
]


@pytest.mark.parametrize(("statements", "expected"), ADDRESSES)
def test_an_address_is_added_to_the_list_that_lacks_it(
    statements: list[Statement], expected: list[str]
) -> None:
    found = kinds(bundle(*statements), call())
    assert [text for kind, text in found if kind is Cure.ADDRESS] == expected


def test_no_address_is_added_for_a_call_without_one() -> None:
    found = kinds(bundle(allow(**inside("1.0.0.0/8"))), call()._replace(source_ip=None))
    assert [text for kind, text in found if kind is Cure.ADDRESS] == []


ACTIONS_ADDED = [
    pytest.param(
        [allow("aiart:Describe*")],
        ["add aiart:TextToImage to the actions of p#0 (p#/statement/0/action)"],
        id="a statement about the same service",
    ),
    pytest.param(
        [allow("cvm:*"), allow(["cvm:*", "aiart:Describe*"])],
        ["add aiart:TextToImage to the actions of p#1 (p#/statement/1/action)"],
        id="a statement about several services",
    ),
    pytest.param([allow("cvm:*")], [], id="no statement about another service"),
    pytest.param([deny("aiart:Describe*")], [], id="no deny"),
    pytest.param(
        [allow("aiart:Describe*", **inside("1.0.0.0/8"))], [], id="no statement for other addresses"
    ),
    pytest.param([allow("aiart:Describe*"), deny()], [], id="a deny stands against it"),
]


@pytest.mark.parametrize(("statements", "expected"), ACTIONS_ADDED)
def test_an_action_is_added_to_a_statement(statements: list[Statement], expected: list[str]) -> None:
    found = kinds(bundle(*statements), call())
    assert [text for kind, text in found if kind is Cure.ACTION] == expected


SETTING = 'set enforcement.ip_support = "gateway"'
OWN = f"give {IP_FREE} a statement of its own, without qcs:ip, beside p#0 (p#/statement/0)"
# statements, address, what is proposed where CAM cannot limit the action by address
STATEMENTS = [
    pytest.param([allow(**inside("9.0.0.0/8"))], "9.9.9.9", [f"{OWN}, or {SETTING}"], id="an allow for here"),
    pytest.param([allow(**inside("1.0.0.0/8"))], "9.9.9.9", [OWN], id="an allow for other addresses"),
    pytest.param(
        [allow(), deny(**tag("ip_not_equal_if_exist", "qcs:ip", "9.0.0.0/8"))],
        "9.9.9.9",
        [SETTING],
        id="a deny that counts because the address may be absent",
    ),
    pytest.param([allow(**inside("9.0.0.0/8")), deny()], "9.9.9.9", [], id="a deny stands against it"),
    pytest.param(
        [allow(**tag("ip_equal_if_exist", "qcs:ip", "1.0.0.0/8"))],
        "9.9.9.9",
        [OWN],
        id="an allow for other addresses, or for none",
    ),
]


def blind_catalog() -> Catalog:
    """Return the catalog in which CAM cannot limit one action by address."""
    entry = replace(CATALOG.actions[IP_FREE], ip_restriction=False)
    service = CATALOG.services["aiart"]
    blind = replace(service, actions={**service.actions, entry.name: entry})
    return Catalog({**CATALOG.services, "aiart": blind})


@pytest.mark.parametrize(("statements", "address", "expected"), STATEMENTS)
def test_an_action_without_ip_support_gets_a_statement_of_its_own(
    statements: list[Statement], address: str, expected: list[str]
) -> None:
    found = company.bundle([policy("p", *statements)], blind_catalog(), principals("p"))
    texts = kinds(found, call(address))
    assert [text for kind, text in texts if kind is Cure.STATEMENT] == expected
    assert [text for kind, text in texts if kind is Cure.ADDRESS] == []


def test_no_boundary_is_changed_or_attached() -> None:
    edge = policy("edge", allow(**inside("1.0.0.0/8")), deny("cvm:*"))
    found = company.bundle([policy("p", allow()), edge], CATALOG, principals("p", boundary="edge"))
    assert kinds(found, call()) == [(Cure.CALL, "call from 1.0.0.0/8")]
    assert kinds(found, reboot("*")) == []
    shared = company.bundle([policy("p", allow("cvm:*")), edge], CATALOG, principals("p", boundary="edge"))
    assert kinds(shared, call("1.1.1.1")) == []
    both = company.bundle([edge], CATALOG, principals("edge", boundary="edge"))
    assert kinds(both, call()) == [(Cure.CALL, "call from 1.0.0.0/8")], "attached, and a boundary as well"


@pytest.mark.parametrize("name", ["edge", "edge#1"])
def test_an_attached_policy_that_is_the_boundary_of_another_principal_stays(name: str) -> None:
    edge = policy(name, allow(**inside("1.0.0.0/8")))
    users = {
        USER.removeprefix("uin/"): {"policies": [name]},
        "100299": {"policies": [name], "boundary": name},
    }
    found = company.bundle([edge], CATALOG, {"owner": OWNER, "users": users})
    assert kinds(found, call()) == [(Cure.CALL, "call from 1.0.0.0/8")]


# statements of a policy of the account, the catalog, what is proposed to change in the policy
ACCOUNT_POLICIES = [
    pytest.param([allow(**inside("1.0.0.0/8"))], CATALOG, [], id="no address in an allow"),
    pytest.param(
        [allow(), deny(**outside("1.0.0.0/8"))],
        CATALOG,
        [added("9.9.9.9", 1, "ip_not_equal", "whole"), "narrow or remove the deny whole#1"],
        id="an address in a deny for all others",
    ),
    pytest.param([allow("aiart:Describe*")], CATALOG, [], id="no action"),
    pytest.param([allow(**inside("1.0.0.0/8"))], blind_catalog(), [], id="no statement for one action"),
]


@pytest.mark.parametrize(("statements", "catalog", "expected"), ACCOUNT_POLICIES)
def test_what_is_changed_in_a_policy_of_the_account(
    statements: list[Statement], catalog: Catalog, expected: list[str]
) -> None:
    both = [policy("p", allow()), policy("whole", *statements)]
    found = company.bundle(both, catalog, principals("p", account=[["whole"]]))
    proposed = [text for kind, text in kinds(found, call()) if kind is not Cure.CALL]
    assert [text for text in proposed if "whole" in text and "attach" not in text] == expected


MORE = {f"more{i}": [allow("cvm:*" if i % 2 else "aiart:*")] for i in range(12)}


def test_other_policies_are_proposed_and_not_too_many() -> None:
    found = bundle(allow("cvm:*"), more=MORE)
    names = [f"more{i}" for i in (0, 2, 4, 6, 8)]
    assert changes(found, call()) == [(1, f"attach the policy {name}") for name in names]
    why = found.explain(call())
    some = nearest_changes(found.evaluator, found.policies, call(), why, most=2)
    assert [each.text for each in some] == ["attach the policy more0", "attach the policy more2"]


def test_a_policy_that_allows_everything_comes_last() -> None:
    more = {"full": [allow("*")]}
    statements = (allow(**inside("1.0.0.0/8"), **tag("string_equal", "cos:a", "1")), allow("cos:*"))
    assert changes(bundle(*statements, more=more), call()) == [
        (2, "call from 1.0.0.0/8 and supply cos:a = 1"),
        (1, "attach the policy full"),
    ]
    assert changes(bundle(allow(**inside("1.0.0.0/8")), more=more), call()) == [
        (1, added("9.9.9.9")),
        (1, "call from 1.0.0.0/8"),
        (1, "attach the policy full"),
    ]


# statements of a policy that is not attached, and whether it allows everything
EVERYTHING = [
    pytest.param([allow("*")], True, id="every action on every resource"),
    pytest.param([allow("*"), allow("cvm:*")], True, id="everything, and something besides"),
    pytest.param([allow(["*", "cvm:*"])], True, id="every action among others"),
    pytest.param([allow(["*:Reboot*", "cvm:*"])], False, id="some actions of every service"),
    pytest.param([allow("cvm:*")], False, id="one service"),
    pytest.param([allow("*", "qcs::cvm:::instance/*")], False, id="some resources"),
    pytest.param([allow("*", **inside("9.0.0.0/8"))], False, id="under a condition"),
]


@pytest.mark.parametrize(("statements", "everything"), EVERYTHING)
def test_a_policy_that_allows_everything_is_a_kind_of_its_own(
    statements: list[Statement], everything: bool
) -> None:
    found = kinds(bundle(allow("cos:*"), more={"more": statements}), reboot(INS))
    wanted = Cure.EVERYTHING if everything else Cure.POLICY
    assert found == [(wanted, "attach the policy more")]


def test_policies_are_attached_to_the_principal_not_to_the_account() -> None:
    policies = [policy("p", allow("cvm:*")), policy("full", allow("*")), policy("lift", allow())]
    found = company.bundle(policies, CATALOG, principals("p", account=[["full"]]))
    assert changes(found, call()) == [(1, "attach the policy lift"), (1, "attach the policy full")]


def test_the_same_is_proposed_once() -> None:
    twice = bundle(allow(**inside("1.0.0.0/8")), allow("aiart:Text*", **inside("1.0.0.0/8")))
    expected = [(1, added("9.9.9.9")), (1, added("9.9.9.9", 1)), (1, "call from 1.0.0.0/8")]
    assert changes(twice, call()) == expected


def test_nothing_can_be_attached_to_the_owner() -> None:
    policies = [policy("p", allow()), policy("lift", allow("*"))]
    found = company.bundle(policies, CATALOG, {"owner": OWNER, "account": [["gone"]]})
    assert changes(found, call(principal="uin/100100")) == []


def test_the_addresses_from_which_a_call_passes() -> None:
    tables = bundle(allow(**inside("1.0.0.0/8"))).evaluator
    assert allowed_from(tables, call()).cidrs() == ("1.0.0.0/8",)
    assert allowed_from(tables, call(principal="uin/9")).cidrs() == ()
    assert allowed_from(bundle(allow()).evaluator, call()).cidrs() == ("0.0.0.0/0", "::/0")
