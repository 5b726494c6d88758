"""Lint, code by code: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from camguard.catalog.model import (
    Access,
    Action,
    Catalog,
    Granularity,
    IpRestriction,
    Service,
)
from camguard.policy.document import parse_policy
from camguard.policy.lint import CODES, Finding, Severity, lint

OPERATION, RESOURCE, SERVICE = Granularity.OPERATION, Granularity.RESOURCE, Granularity.SERVICE
INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
DISK = "qcs::vm:$region:$account:disk/{diskId}"
EVERY_INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/*"


def service(name: str, granularity: Granularity, *rows: Action, tags: bool = False) -> Service:
    return Service(
        name, name, console=True, tag_authorization=tags, granularity=granularity,
        ip_restriction=IpRestriction.PARTIAL, actions={row.name: row for row in rows},
    )  # fmt: skip


def row(action: str, level: Granularity = OPERATION, *resources: str, ip: bool = True) -> Action:
    product, _, name = action.partition(":")
    return Action(product, name, Access.READ, level, resources or ("*",), ip_restriction=ip)


CATALOG = Catalog(
    {
        one.name: one
        for one in (
            service(
                "art",
                OPERATION,
                row("art:TextToImage"),
                row("art:ImageToImage"),
                row("art:DescribeJob"),
            ),
            service("desk", OPERATION, row("desk:QueryUser", ip=False), row("desk:QueryUserList")),
            service(
                "vm",
                RESOURCE,
                row("vm:Reboot", RESOURCE, INSTANCE),
                row("vm:Attach", RESOURCE, INSTANCE, DISK),
                row("vm:Run", RESOURCE, EVERY_INSTANCE, ip=False),
                row("vm:DescribeZones"),
                tags=True,
            ),
            service("whole", SERVICE, row("whole:Do", SERVICE), row("whole:Undo", SERVICE)),
        )
    }
)

Statement = Mapping[str, Any]


def allow(action: Any = "art:TextToImage", resource: Any = "*", **condition: Any) -> Statement:
    found = {"effect": "allow", "action": action, "resource": resource}
    return {**found, "condition": condition} if condition else found


def deny(action: Any = "art:TextToImage", resource: Any = "*", **condition: Any) -> Statement:
    return {**allow(action, resource, **condition), "effect": "deny"}


def office(*ranges: str) -> Mapping[str, Any]:
    return {"ip_equal": {"qcs:ip": list(ranges)}}


def outside(*ranges: str) -> Mapping[str, Any]:
    return {"ip_not_equal": {"qcs:ip": list(ranges)}}


def hours(start: str, end: str) -> Mapping[str, Any]:
    return {
        "date_greater_than_equal": {"qcs:current_time": f"2026-{start}T00:00:00Z"},
        "date_less_than": {"qcs:current_time": f"2026-{end}T00:00:00Z"},
    }


def tagged(operator: str, *values: str, key: str = "qcs:resource_tag") -> Mapping[str, Any]:
    return {operator: {key: list(values)}}


def any_value(**condition: Any) -> Mapping[str, Any]:
    return {f"for_any_value:{operator}": keys for operator, keys in condition.items()}


def findings(*statements: Any, whole: str | None = None, ip_support: str = "catalog") -> list[Finding]:
    text = whole or json.dumps({"version": "2.0", "statement": list(statements)})
    return list(lint(parse_policy(text, source="p.json"), CATALOG, ip_support=ip_support))


ANY = tagged("for_any_value:string_equal", "dept&rd")
TAG = "qcs:resource_tag/env"
VM = "qcs::vm:ap-guangzhou::instance/ins-1"

# code, where in the document, what has it, what almost has it
ROWS = [
    pytest.param("CG101", "/action/1", [allow(["art:TextToImage", "name/art:DescribeJob"])],
                 [allow(["art:TextToImage", "art:DescribeJob"])], id="name/ before an action"),
    pytest.param("CG102", "/Effect", [{"Effect": "allow", "action": "art:DescribeJob", "resource": "*"}],
                 [allow()], id="an element with a capital"),
    pytest.param("CG102", "/effect", [{**allow(), "effect": "Allow"}], [allow()],
                 id="an effect with a capital"),
    pytest.param("CG104", "/resource", [allow("vm:Reboot", "qcs::vm:gz::instance/ins-1")],
                 [allow("vm:Reboot", VM)], id="an old region code"),
    pytest.param("CG105", "/condition/for_any_value:string_equal/qcs:tag",
                 [allow("vm:Reboot", **tagged("for_any_value:string_equal", "a&b", key="qcs:tag"))],
                 [allow("vm:Reboot", **ANY)], id="the old name of tags"),
    pytest.param("CG106", "/condition/string_equal/mfa", [allow(string_equal={"mfa": "1"})],
                 [allow(bool_equal={"qcs:mfa": "true"})], id="the old key of the second factor"),
    pytest.param("CG107", "/resource", [allow("vm:Reboot", "qcs:id/0:vm:::instance/*")],
                 [allow("vm:Reboot", "qcs::vm:::instance/*")], id="a project segment"),
    pytest.param("CG108", "/condition", [{**allow(), "condition": {}}], [allow()], id="an empty condition"),
    pytest.param("CG201", "/action/1", [deny(["art:DescribeJob", "art:TextToImages"])],
                 [deny(["art:DescribeJob", "art:TextToImage"])], id="a deny of an unknown action"),
    pytest.param("CG201", "/action", [deny("name/art:TextToImages")], [deny("name/art:TextToImage")],
                 id="a deny of an unknown action with the old prefix"),
    pytest.param("CG202", "/action", [allow("art:TextToImages")], [allow("art:TextToImage")],
                 id="an allow of an unknown action"),
    pytest.param("CG202", "/action", [allow("art:texttoimage")], [deny("art:texttoimage")],
                 id="an allow in the wrong letter case"),
    pytest.param("CG203", "/action", [deny("arts:TextToImage")], [deny("art:TextToImage")],
                 id="a deny of an unknown service"),
    pytest.param("CG203", "/action", [deny("arts:*")], [allow("arts:*")],
                 id="a deny of everything of an unknown service"),
    pytest.param("CG211", "/action", [deny("finance:*")], [deny("finance:Pay")],
                 id="a deny of a whole service that is like none of the catalog"),
    pytest.param("CG204", "/action", [allow("arts:*")], [allow("art:*")],
                 id="an allow of an unknown service"),
    pytest.param("CG205", "/action", [deny("art:texttoimage")], [deny("art:TextToImage")],
                 id="a deny in the wrong letter case"),
    pytest.param("CG205", "/action", [deny("ART:*")], [deny("art:*")], id="a deny of a service in capitals"),
    pytest.param("CG206", "/action/0", [allow(["art:List*", "art:*"])], [allow(["art:Describe*"])],
                 id="a pattern that no action fits"),
    pytest.param("CG207", "/action",
                 [deny(["art:List*", "art:Get*"])], [deny(["art:List*", "art:Describe*"])],
                 id="a deny of patterns that no action fits"),
    pytest.param("CG208", "/action", [allow("*:Describe*")], [allow("*:*")], id="a star in the service"),
    pytest.param("CG208", "/action", [deny("a*:DescribeJob")], [deny("art:Describe*")],
                 id="a star in the service of a deny"),
    pytest.param("CG209", "/action", [allow("whole:Do")], [allow("whole:*")],
                 id="one action of a service-level product"),
    pytest.param("CG209", "/action/0", [allow(["whole:D*", "art:*"])], [allow(["whole:D*", "*"])],
                 id="a pattern of a service-level product"),
    pytest.param("CG210", "/action/1", [allow(["art:*", "art:TextToImage"])],
                 [allow(["art:Text*", "art:ImageToImage"])], id="an action that a pattern covers"),
    pytest.param("CG210", "/action/1", [allow(["art:*", "name/art:*"])], [allow(["art:*", "vm:*"])],
                 id="an action that stands twice"),
    pytest.param("CG210", "/action/1", [allow(["art:*", "art:**"])], [allow(["art:*"])],
                 id="two patterns that say the same, reported once"),
    pytest.param("CG301", "/action", [allow("art:*", "qcs::art:::*")], [allow("art:*")],
                 id="an allow of a resource for actions that have none"),
    pytest.param("CG301", "/action/1", [allow(["vm:Reboot", "vm:DescribeZones"], VM)], [allow("vm:*", VM)],
                 id="the one action of the list that has no resources"),
    pytest.param("CG302", "/action", [deny("art:TextToImage", "qcs::art:::job/1")], [deny("art:TextToImage")],
                 id="a deny of a resource that blocks the action"),
    pytest.param("CG303", "/action/1", [deny(["vm:Reboot", "vm:DescribeZones"], VM)], [deny("vm:*", VM)],
                 id="a deny of a resource that spares the action beside it"),
    pytest.param("CG304", "/action/1", [deny(["vm:Reboot", "art:TextToImage"], VM)], [deny("vm:Reboot", VM)],
                 id="a deny of a resource that the action does not have"),
    pytest.param("CG305", "/resource", [deny("art:*", "qcs::vm:::instance/*")],
                 [deny("*", "qcs::vm:::instance/*")], id="a deny on the resources of another product"),
    pytest.param("CG305", "/resource", [deny("vm:Reboot", ["qcs::VM:::*", "qcs::disk:::*"])],
                 [deny("vm:Reboot", ["qcs::VM:::*", "qcs::vm:::*"])], id="a deny on a product in capitals"),
    pytest.param("CG306", "/resource/1", [allow("vm:Reboot", [VM, "qcs::vm:::disk/d-1"])],
                 [allow("vm:Attach", [VM, "qcs::vm:::disk/d-1"])], id="a resource of no named action"),
    pytest.param("CG306", "/resource", [deny("vm:Reboot", "qcs::vm:::instnace/*")],
                 [deny("vm:Reboot", "qcs::vm:::inst*")], id="a misspelt type of resource"),
    pytest.param("CG306", "/resource/1", [deny(["vm:Reboot", "art:*"], [VM, "qcs::disk:::d-1"])],
                 [deny(["vm:Reboot", "art:*"], [VM, "qcs::art:::d-1"])], id="a resource of no named product"),
    pytest.param("CG306", "/resource", [allow("vm:Run", "qcs::vm:::instance/ins-1")],
                 [allow("vm:Run", "qcs::vm:::instance/*")], id="one instance where none exists yet"),
    pytest.param("CG307", "/resource/0", [allow("vm:Reboot", [VM, "*"])], [allow("vm:Reboot", [VM])],
                 id="a resource beside the star"),
    pytest.param("CG308", "/resource/1",
                 [allow("vm:Reboot", ["qcs::vm:::instance/*", "qcs::vm:::instance/ins-1"])],
                 [allow("vm:Reboot", ["qcs::vm:bj::instance/*", "qcs::vm:sh::instance/ins-1"])],
                 id="a resource that another one covers"),
    pytest.param("CG308", "/resource/1", [allow("vm:Reboot", [VM, VM])], [allow("vm:Reboot", [VM, f"{VM}2"])],
                 id="a resource that stands twice"),
    pytest.param("CG309", "/resource", [deny("vm:Reboot", "qcs::vm:::instance/")],
                 [deny("vm:Reboot", "qcs::vm:::instance/*")], id="a resource that ends in a slash"),
    pytest.param("CG401", "/condition", [allow(**office("10.0.0.0/8"), **outside("10.0.0.0/7"))],
                 [allow(**office("10.0.0.0/7"), **outside("10.0.0.0/8"))],
                 id="an address inside and outside"),
    pytest.param("CG401", "/condition",
                 [allow(**hours("06-01", "05-01"))], [allow(**hours("05-01", "06-01"))],
                 id="hours that end before they begin"),
    pytest.param("CG401", "/condition",
                 [allow("vm:Reboot", string_equal={TAG: "a"}, string_not_equal={TAG: "a"})],
                 [allow("vm:Reboot", string_equal={TAG: ["a", "b"]}, string_not_equal={TAG: "a"})],
                 id="a tag that is and is not"),
    pytest.param("CG401", "/condition",
                 [allow("vm:Reboot", string_equal={TAG: "a"}, null_equal={TAG: "true"})],
                 [allow("vm:Reboot", string_equal_if_exist={TAG: "a"}, null_equal={TAG: "true"})],
                 id="a tag that is there and absent"),
    pytest.param("CG401", "/condition",
                 [allow("vm:Reboot", null_equal={TAG: "true"}, **any_value(null_equal={TAG: "false"}))],
                 [allow("vm:Reboot", null_equal={TAG: ["true", "false"]})], id="a tag present and absent"),
    pytest.param("CG401", "/condition",
                 [allow(bool_equal={"qcs:mfa": "true"}, **any_value(bool_equal={"qcs:mfa": "false"}))],
                 [allow(bool_equal={"qcs:mfa": "true"}, bool_equal_if_exist={"qcs:mfa": "true"})],
                 id="a second factor that was and was not used"),
    pytest.param("CG402", "/condition",
                 [deny(**office("10.0.0.0/8"), ip_equal_if_exist={"qcs:ip": "192.168.0.0/16"})],
                 [deny(**office("10.0.0.0/8"), ip_equal_if_exist={"qcs:ip": "10.9.0.0/16"})],
                 id="a deny from two places at once"),
    pytest.param("CG402", "/condition", [deny(**hours("06-01", "06-01"))], [deny(**hours("06-01", "06-02"))],
                 id="a deny during no time"),
    pytest.param("CG403", "/condition/ip_equal/qcs:ip", [allow("desk:*", **office("10.0.0.0/8"))],
                 [allow("desk:QueryUserList", **office("10.0.0.0/8"))],
                 id="an address where it cannot be restricted"),
    pytest.param("CG403", "/condition/ip_not_equal/qcs:ip", [deny("*", **outside("10.0.0.0/8"))],
                 [deny("art:*", **outside("10.0.0.0/8"))],
                 id="a deny by address where it cannot be restricted"),
    pytest.param("CG404", "/condition/for_any_value:string_equal/qcs:resource_tag", [allow("art:*", **ANY)],
                 [allow("vm:Reboot", **ANY)], id="tags of a product without tags"),
    pytest.param("CG405", "/condition/string_equal/cos:prefix", [allow(string_equal={"cos:prefix": "a"})],
                 [allow(**office("10.0.0.0/8"))], id="a key of a service"),
    pytest.param("CG406", "/condition/ip_not_equal/qcs:ip", [deny(**outside("10.1.0.0/16", "10.3.0.0/16"))],
                 [deny(**outside("10.1.0.0/16"))], id="a negated list"),
    pytest.param("CG407", f"/condition/string_not_equal/{TAG.replace('/', '~1')}",
                 [deny("vm:Reboot", string_not_equal={TAG: "a"})],
                 [deny("vm:Reboot", string_not_equal_if_exist={TAG: "a"})],
                 id="a deny that spares the untagged"),
    pytest.param("CG408", f"/condition/string_equal_if_exist/{TAG.replace('/', '~1')}",
                 [allow("vm:Reboot", string_equal_if_exist={TAG: "a"})],
                 [deny("vm:Reboot", string_equal_if_exist={TAG: "a"})], id="an allow of the untagged"),
    pytest.param("CG409", "/condition/for_all_value:string_equal/qcs:request_tag",
                 [allow("vm:Run", **tagged("for_all_value:string_equal", "a&b", key="qcs:request_tag"))],
                 [allow("vm:Run", **tagged("for_any_value:string_equal", "a&b", key="qcs:request_tag"))],
                 id="for_all_value on tags"),
    pytest.param("CG410", "/condition/string_equal/qcs:resource_tag",
                 [allow("vm:Reboot", **tagged("string_equal", "a&b"))], [allow("vm:Reboot", **ANY)],
                 id="tags without a qualifier"),
    pytest.param("CG411", "/condition/for_any_value:string_equal/qcs:resource_tag/1",
                 [allow("vm:Reboot", **tagged("for_any_value:string_equal", "a&b", "ab"))],
                 [allow("vm:Reboot", **tagged("for_any_value:string_like", "a&b", "ab*"))],
                 id="a tag without its value"),
    pytest.param("CG412", "/resource", [allow("vm:Reboot", "qcs::vm:::instance/${qcs:principal_tag_value}")],
                 [allow("vm:Reboot", "qcs::vm:::instance/${uin}")],
                 id="a variable in a resource without a value"),
    pytest.param("CG412", "/condition/string_equal/qcs:resource_tag~1env",
                 [allow("vm:Reboot", string_equal={TAG: "${qcs:principal_tag_value}"})],
                 [allow("vm:Reboot", string_equal={TAG: "${app_id}"})], id="a variable without a value"),
    pytest.param("CG413", "/condition/ip_not_equal/qcs:ip", [allow(**outside("10.0.0.0/8"))],
                 [deny(**outside("10.0.0.0/8"))], id="an allow from everywhere else"),
    pytest.param("CG414", "/condition/ip_equal/qcs:ip/1", [allow(**office("10.1.0.0/16", "::/0"))],
                 [allow(**office("10.1.0.0/16", "::/1"))], id="an allow from everywhere"),
    pytest.param("CG414", "/condition/ip_equal/qcs:ip", [allow(**office("0.0.0.0/1", "128.0.0.0/1"))],
                 [allow(**office("0.0.0.0/1", "128.0.0.0/2"))], id="an allow from everywhere in two halves"),
    pytest.param("CG414", "/condition/ip_equal/qcs:ip/0", [deny(**office("0.0.0.0/0"))],
                 [deny(**office("0.0.0.0/1"))], id="a deny from everywhere"),
    pytest.param("CG414", "/condition/ip_not_equal/qcs:ip/0", [allow(**outside("0.0.0.0/0"))],
                 [allow(**outside("0.0.0.0/1"))], id="an allow from outside of everywhere"),
    pytest.param("CG415", "/condition/ip_equal/qcs:ip/0", [allow(**office("10.1.2.3/0"))],
                 [allow(**office("0.0.0.0/0"))], id="an allow from one address with no bits"),
    pytest.param("CG415", "/condition/ip_equal/qcs:ip/0", [allow(**office("2001:db8::1/0"))],
                 [allow(**office("2001:db8::1/128"))], id="the same in IPv6"),
    pytest.param("CG416", "/condition/ip_not_equal/qcs:ip/1", [deny(**outside("10.1.0.0/16", "0.0.0.0/0"))],
                 [deny(**outside("10.1.0.0/16", "0.0.0.0/1"))], id="a deny outside of everywhere"),
    pytest.param("CG416", "/condition/ip_not_equal/qcs:ip/0", [deny("desk:*", **outside("::/0"))],
                 [deny("desk:QueryUser", **outside("::/0"))],
                 id="a deny outside of everywhere, unless the address is not judged"),
    pytest.param("CG417", "/condition/ip_equal/qcs:ip/0", [allow(**office("10.1.2.3/24"))],
                 [allow(**office("10.1.2.0/24", "10.9.2.3"))], id="host bits"),
    pytest.param("CG417", "/condition/ip_equal/qcs:ip", [allow(ip_equal={"qcs:ip": "10.1.2.3/24"})],
                 [allow(ip_equal={"qcs:ip": "10.1.2.3/32"})], id="host bits of the only value"),
    pytest.param("CG418", "/condition/ip_equal/qcs:ip/1", [allow(**office("10.1.2.0/24", "10.1.2.9/24"))],
                 [allow(**office("10.1.2.0/24", "10.1.9.0/24"))], id="a range that stands twice"),
    pytest.param("CG418", "/condition/string_equal/qcs:resource_tag~1env/1",
                 [allow("vm:Reboot", string_equal={TAG: ["a", "a"]})],
                 [allow("vm:Reboot", string_equal={TAG: ["a", "A"]})], id="a value that stands twice"),
    pytest.param("CG419", "/condition/ip_equal/qcs:ip/0", [allow(**office("10.1.2.3", "10.1.2.0/24"))],
                 [allow(**office("10.1.3.3", "10.1.2.0/24"))], id="a range inside another one"),
    pytest.param("CG420", "/condition/ip_equal/qcs:ip", [allow(**office("10.1.3.0/24", "10.1.2.0/24"))],
                 [allow(**office("10.1.1.0/24", "10.1.2.0/24"))], id="two ranges that make one"),
    pytest.param("CG420", "/condition/ip_equal/qcs:ip",
                 [allow(**office("10.0.0.0/8", "11.0.0.0/9", "11.128.0.0/9"))],
                 [allow(**office("255.255.255.255", "::"))], id="three ranges that make one"),
    pytest.param("CG421", "/condition/string_like/qcs:resource_tag~1env",
                 [allow("vm:Reboot", string_like={TAG: "*"})], [allow("vm:Reboot", string_like={TAG: "a*"})],
                 id="a pattern that everything fits"),
    pytest.param("CG501", "", [allow(["art:*", "*"])], [allow("*", **office("10.0.0.0/8"))],
                 id="everything on everything"),
    pytest.param("CG501", "", [allow("name/*:*")], [deny("*")], id="everything, otherwise spelt"),
]  # fmt: skip


def pointers(found: list[Finding], code: str) -> list[str]:
    return [finding.where.removeprefix("p.json#") for finding in found if finding.code == code]


@pytest.mark.parametrize(("code", "where", "has", "almost"), ROWS)
def test_a_statement_has_a_finding_or_just_not(
    code: str, where: str, has: list[Statement], almost: list[Statement]
) -> None:
    assert pointers(findings(*has), code) == [f"/statement/0{where}"]
    assert pointers(findings(*almost), code) == []


# code, index of the statement that is reported, statements that have it, statements that almost do
ACROSS = [
    pytest.param("CG502", 1, [allow("art:*"), allow("art:TextToImage")],
                 [allow("art:Text*"), allow("art:ImageToImage")], id="a narrower allow"),
    pytest.param("CG502", 0, [allow("art:TextToImage"), allow("art:*")],
                 [allow("art:TextToImage"), allow("art:*", **office("10.0.0.0/8"))],
                 id="a narrower allow before"),
    pytest.param("CG502", 1, [allow(), allow()], [allow(), deny()], id="the same statement again"),
    pytest.param("CG502", 1, [allow(**office("10.0.0.0/8")), allow(**office("10.1.0.0/16", "10.2.0.0/16"))],
                 [allow(**office("10.0.0.0/8")), allow(**office("10.1.0.0/16", "11.0.0.0/16"))],
                 id="an allow from fewer addresses"),
    pytest.param("CG502", 1, [deny(**outside("10.1.0.0/16")), deny(**outside("10.0.0.0/8"))],
                 [deny(**outside("10.1.0.0/16")), deny(**outside("10.2.0.0/16"))],
                 id="a deny outside of more addresses"),
    pytest.param("CG502", 1, [allow("vm:Reboot", "qcs::vm:::instance/*"), allow("vm:Reboot", VM)],
                 [allow("vm:Reboot", "qcs::vm:::instance/a*"), allow("vm:Reboot", VM)],
                 id="an allow of one resource of them"),
    pytest.param("CG502", 0,
                 [allow("vm:Reboot", VM), allow("vm:Reboot")], [allow("vm:Reboot"), allow("vm:Run")],
                 id="an allow of a resource beside one of all"),
    pytest.param("CG502", 1, [allow(["art:TextToImage", "art:ImageToImage"]), allow("art:TextToImage")],
                 [allow(["art:TextToImage", "art:ImageToImage", "art:DescribeJob"]),
                  allow("art:*", **office("10.0.0.0/8"))],
                 id="by its text, not by what the catalog happens to hold"),
    pytest.param("CG502", 1, [allow(string_equal={TAG: ["1", "2"]}), allow(string_equal={TAG: ["2", "1"]})],
                 [allow(string_equal={TAG: ["1", "2"]}), allow(string_equal={TAG: "1"})],
                 id="an allow of the same values"),
    pytest.param("CG502", 1, [deny("vm:*", VM), deny("vm:*", [VM])],
                 [deny("vm:*", VM), deny("vm:DescribeZones", VM)], id="the same deny of a resource"),
    pytest.param("CG503", 0, [allow("art:TextToImage"), deny("art:*")],
                 [allow("art:*"), deny("art:TextToImage")], id="an allow that a deny takes back"),
    pytest.param("CG503", 1, [deny("*"), allow("art:*", **office("10.0.0.0/8"))],
                 [deny("*", **office("10.0.0.0/8")), allow("art:*")],
                 id="an allow under a deny of everything"),
    pytest.param("CG503", 1, [deny(**office("10.0.0.0/8")), allow(**office("10.1.0.0/16"))],
                 [deny(**office("10.1.0.0/16")), allow(**office("10.0.0.0/8"))],
                 id="an allow from where everything is denied"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "at", "has", "almost"), ACROSS)
def test_statements_make_each_other_pointless_or_just_not(
    code: str, at: int, has: list[Statement], almost: list[Statement]
) -> None:
    assert pointers(findings(*has), code) == [f"/statement/{at}"]
    assert pointers(findings(*almost), code) == []


def test_a_statement_that_is_an_object() -> None:
    text = '{"version": "2.0", "Statement": %s}'
    single = findings(whole=text % json.dumps(allow("name/art:TextToImage")))
    assert pointers(single, "CG103") == ["/Statement"]
    assert pointers(single, "CG102") == ["/Statement"]
    assert pointers(single, "CG101") == ["/Statement/action"]
    listed = findings(whole=text % json.dumps([allow("name/art:TextToImage")]))
    assert pointers(listed, "CG103") == []
    assert pointers(listed, "CG101") == ["/Statement/0/action"]


def test_every_code_of_a_policy_has_a_row() -> None:
    rows = {str(row.values[0]) for row in (*ROWS, *ACROSS)} | {"CG103"}
    assert rows == {code for code in CODES if code < "CG6"}


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.id)
def test_every_code_says_what_it_means(code: Any) -> None:
    assert code.title
    assert code.title[0].islower()
    assert code.help.endswith(".")


def test_with_the_gateway_judging_addresses_nothing_is_unsupported() -> None:
    statement = allow("desk:*", **office("10.0.0.0/8"))
    assert pointers(findings(statement, ip_support="gateway"), "CG403") == []


def test_what_another_allow_grants_without_the_address_is_not_held_against_one() -> None:
    from_office = allow("desk:*", **office("10.0.0.0/8"))
    assert pointers(findings(from_office, allow("desk:QueryUser")), "CG403") == []
    assert pointers(findings(from_office, deny("desk:QueryUser")), "CG403") != []


def test_a_finding_names_a_few_actions_and_counts_the_others() -> None:
    (finding,) = (f for f in findings(allow("*", **ANY)) if f.code == "CG404")
    assert "art:DescribeJob, art:ImageToImage, art:TextToImage and 4 more" in finding.message


# statement -> what is proposed
INSTEAD = [
    pytest.param(deny("art:TextToImages"), "CG201", "art:TextToImage", id="the nearest action"),
    pytest.param(deny("art:texttoimage"), "CG205", "art:TextToImage", id="the right letter case"),
    pytest.param(allow("atr:*"), "CG204", "art:*", id="the nearest service"),
    pytest.param(allow("whole:Do"), "CG209", "whole:*", id="the whole service"),
    pytest.param(allow(**office("10.1.2.3/24")), "CG417", "10.1.2.0/24, or 10.1.2.3 alone",
                 id="range or host"),
    pytest.param(allow(**office("10.1.2.0/24", "10.1.3.0/24")), "CG420", "10.1.2.0/23", id="one range"),
    pytest.param(allow("vm:Reboot", "qcs::vm:gz::*"), "CG104", "qcs::vm:ap-guangzhou::*", id="the region"),
    pytest.param(allow("vm:Reboot", "qcs::vm:::ins/*"), "CG306", "qcs::vm:::instance/…",
                 id="how resources look"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "code", "instead"), INSTEAD)
def test_what_to_write_instead(statement: Statement, code: str, instead: str) -> None:
    (finding,) = (f for f in findings(statement) if f.code == code)
    assert instead in finding.instead


def test_errors_are_these_and_no_others() -> None:
    errors = {code.id for code in CODES.values() if code.severity is Severity.ERROR}
    assert errors == {"CG201", "CG203", "CG207", "CG305", "CG402", "CG415", "CG416"}


CLEAN = [
    pytest.param([allow("art:*")], id="an allow of a service"),
    pytest.param([allow("vm:*", VM)], id="an allow of a service on a resource"),
    pytest.param([deny("vm:*", VM), allow("vm:*")], id="a deny of a resource"),
    pytest.param([allow("art:*", **office("10.1.0.0/16", "203.0.113.7"))], id="an allow from the office"),
    pytest.param([deny("art:*", **outside("10.1.0.0/16"))], id="a deny outside of the office"),
    pytest.param([allow("vm:Reboot", **ANY)], id="an allow by tag"),
    pytest.param([allow("vm:Reboot", "qcs::vm:::instance/${uin}-*")], id="an allow of one's own"),
    pytest.param([deny(**hours("12-24", "12-31"))], id="a deny over the holidays"),
]  # fmt: skip


@pytest.mark.parametrize("statements", CLEAN)
def test_plain_policies_have_no_findings(statements: list[Statement]) -> None:
    assert findings(*statements) == []
