"""What resources reach: a statement that has the finding, and one that almost has it."""

from __future__ import annotations

import pytest

from tests.lint.statements import (
    VM,
    allow,
    deny,
    table_of_findings,
    table_of_questions,
)

# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
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
    pytest.param("CG305", "/resource", [deny("vm:Reboot", ["qcs::art:::*", "qcs::disk:::*"])],
                 [deny("vm:Reboot", ["qcs::VM:::*", "qcs::disk:::*"])],
                 id="a deny on other products, unless one is the product in capitals"),
    pytest.param("CG306", "/resource/1", [allow("vm:Reboot", [VM, "qcs::vm:::disk/d-1"])],
                 [allow("vm:Attach", [VM, "qcs::vm:::disk/d-1"])], id="a resource of no named action"),
    pytest.param("CG324", "/resource", [deny("vm:Reboot", "qcs::vm:::instnace/*")],
                 [deny("vm:Reboot", "qcs::vm:::inst*")], id="a misspelt type of resource"),
    pytest.param("CG324", "/resource/1", [deny(["vm:Reboot", "art:*"], [VM, "qcs::disk:::d-1"])],
                 [deny(["vm:Reboot", "art:*"], [VM, "qcs::art:::d-1"])], id="a resource of no named product"),
    pytest.param("CG306", "/resource", [allow("vm:Run", "qcs::vm:::instance/ins-1")],
                 [allow("vm:Run", "qcs::vm:::instance/*")], id="one instance where none exists yet"),
    pytest.param("CG307", "/resource/0", [allow("vm:Reboot", [VM, "*"])], [allow("vm:Reboot", [VM])],
                 id="a resource beside the star"),
    pytest.param("CG121", "/resource", [allow("vm:Reboot", "qcs::vm::100100:instance/*")],
                 [allow("vm:Reboot", "qcs::vm::uin/100100:instance/*")], id="DEC-59 bare digits"),
    pytest.param("CG320", "/resource/1", [deny("vm:Reboot", [VM, "qcs::vm::$account:instance/*"])],
                 [deny("vm:Reboot", [VM, "qcs::vm::uid/*:instance/*"])], id="DEC-59 a placeholder"),
    pytest.param("CG320", "/resource", [allow("vm:Reboot", "qcs::vm::Uin/1:instance/*")],
                 [allow("vm:Reboot", "qcs::vm::uin/1:instance/*")], id="DEC-59 an account in capitals"),
    pytest.param("CG321", "/resource", [deny("vm:Reboot", "qcs::VM:::instance/*")],
                 [deny("vm:Reboot", "qcs::vm:::instance/*")], id="DEC-60 a product in capitals"),
    pytest.param("CG321", "/resource", [allow("art:*", "qcs::a*:::*")],
                 [allow("art:*", "qcs::b*:::*")], id="DEC-60 a star in the product"),
    pytest.param("CG321", "/resource", [deny("vm:Reboot", "qcs::vm:AP-Guangzhou::instance/*")],
                 [deny("vm:Reboot", "qcs::vm:ap-guangzhou::instance/*")], id="DEC-60 a region in capitals"),
    pytest.param("CG322", "/resource", [allow("vm:Reboot", "qcs::vm:ap-guangzou::instance/*")],
                 [allow("vm:Reboot", ["qcs::vm:gz::instance/*", "qcs::vm:ap-*::instance/*"])],
                 id="DEC-60 a region that no list contains"),
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)


COMMAND, CVM = "qcs::tat:::command/*", "qcs::cvm:::instance/*"
LIGHTHOUSE = "qcs::lighthouse:::instance/*"
# as ROWS, where several statements matter together
ACROSS = [
    pytest.param("CG323", "/resource", [allow("tat:Run", [COMMAND, CVM])],
                 [allow("tat:Run", [COMMAND, CVM, LIGHTHOUSE])],
                 id="DEC-61 an allow of one of two templates with one placeholder"),
    pytest.param("CG323", "/resource", [allow("tat:*", CVM)],
                 [allow("tat:*", CVM), allow("tat:*", [COMMAND, LIGHTHOUSE])],
                 id="DEC-61 an allow of one template of three"),
    pytest.param("CG323", "/resource", [allow("tat:Run", COMMAND)], [allow("tat:Either", [COMMAND, CVM])],
                 id="DEC-61 an action whose entry has alternatives"),
    pytest.param("CG323", "/resource", [allow("tat:Either", [CVM, LIGHTHOUSE])], [allow("tat:Any", [CVM])],
                 id="DEC-61 an allow of both alternatives without the third template"),
    pytest.param("CG323", "/resource", [allow("tat:Run", CVM)], [allow("tat:Run", CVM), allow("tat:*")],
                 id="DEC-61 an allow of every resource beside it"),
]  # fmt: skip


test_statements_together_have_the_finding_or_almost = table_of_findings(ACROSS)


# statement, code, what is proposed
INSTEAD = [
    pytest.param(allow("vm:Reboot", "qcs::vm:::ins/*"), "CG306", "qcs::vm:::instance/…",
                 id="how resources look"),
]  # fmt: skip


test_a_finding_asks_what_was_meant = table_of_questions(INSTEAD)
