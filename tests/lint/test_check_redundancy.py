"""What something else already covers: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import pytest

from tests.company import inside, outside
from tests.lint.statements import TAG, VM, Statement, allow, deny, findings, pointers, table_of_findings

# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG210", "/action/1", [allow(["art:*", "art:TextToImage"])],
                 [allow(["art:Text*", "art:ImageToImage"])], id="an action that a pattern covers"),
    pytest.param("CG210", "/action/1", [allow(["art:*", "name/art:*"])], [allow(["art:*", "vm:*"])],
                 id="an action that stands twice"),
    pytest.param("CG210", "/action/1", [allow(["art:*", "art:**"])], [allow(["art:*"])],
                 id="two patterns that name the same actions, reported once"),
    pytest.param("CG308", "/resource/1",
                 [allow("vm:Reboot", ["qcs::vm:::instance/*", "qcs::vm:::instance/ins-1"])],
                 [allow("vm:Reboot", ["qcs::vm:bj::instance/*", "qcs::vm:sh::instance/ins-1"])],
                 id="a resource that another one covers"),
    pytest.param("CG308", "/resource/1", [allow("vm:Reboot", [VM, VM])], [allow("vm:Reboot", [VM, f"{VM}2"])],
                 id="a resource that stands twice"),
    pytest.param("CG309", "/resource", [deny("vm:Reboot", "qcs::vm:::instance/")],
                 [deny("vm:Reboot", "qcs::vm:::instance/*")], id="a resource that ends in a slash"),
    pytest.param("CG501", "", [allow(["art:*", "*"])], [allow("*", **inside("10.0.0.0/8"))],
                 id="everything on everything"),
    pytest.param("CG501", "", [allow("name/*:*")], [deny("*")], id="everything, otherwise spelt"),
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)


# code, index of the statement that is reported, statements that have it, statements that almost have it
ACROSS = [
    pytest.param("CG502", 1, [allow("art:*"), allow("art:TextToImage")],
                 [allow("art:Text*"), allow("art:ImageToImage")], id="a narrower allow"),
    pytest.param("CG502", 0, [allow("art:TextToImage"), allow("art:*")],
                 [allow("art:TextToImage"), allow("art:*", **inside("10.0.0.0/8"))],
                 id="a narrower allow before"),
    pytest.param("CG502", 1, [allow(), allow()], [allow(), deny()], id="the same statement again"),
    pytest.param("CG502", 1, [allow(**inside("10.0.0.0/8")), allow(**inside("10.1.0.0/16", "10.2.0.0/16"))],
                 [allow(**inside("10.0.0.0/8")), allow(**inside("10.1.0.0/16", "11.0.0.0/16"))],
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
                  allow("art:*", **inside("10.0.0.0/8"))],
                 id="by its text, not by what the catalog happens to hold"),
    pytest.param("CG502", 1, [allow(string_equal={TAG: ["1", "2"]}), allow(string_equal={TAG: ["2", "1"]})],
                 [allow(string_equal={TAG: ["1", "2"]}), allow(string_equal={TAG: "1"})],
                 id="an allow of the same values"),
    pytest.param("CG502", 1, [deny("vm:*", VM), deny("vm:*", [VM])],
                 [deny("vm:*", VM), deny("vm:DescribeZones", VM)], id="the same deny of a resource"),
    pytest.param("CG503", 0, [allow("art:TextToImage"), deny("art:*")],
                 [allow("art:*"), deny("art:TextToImage")], id="an allow that a deny takes back"),
    pytest.param("CG503", 1, [deny("*"), allow("art:*", **inside("10.0.0.0/8"))],
                 [deny("*", **inside("10.0.0.0/8")), allow("art:*")],
                 id="an allow under a deny of everything"),
    pytest.param("CG503", 1, [deny(**inside("10.0.0.0/8")), allow(**inside("10.1.0.0/16"))],
                 [deny(**inside("10.1.0.0/16")), allow(**inside("10.0.0.0/8"))],
                 id="an allow from where everything is denied"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "at", "has", "almost"), ACROSS)
def test_statements_make_each_other_pointless_or_just_not(
    code: str, at: int, has: list[Statement], almost: list[Statement]
) -> None:
    assert pointers(findings(*has), code) == [f"/statement/{at}"]
    assert pointers(findings(*almost), code) == []
