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
    pytest.param("CG305", "/resource", [deny("vm:Reboot", ["qcs::VM:::*", "qcs::disk:::*"])],
                 [deny("vm:Reboot", ["qcs::VM:::*", "qcs::vm:::*"])], id="a deny on a product in capitals"),
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
]  # fmt: skip


test_a_statement_has_the_finding_or_almost = table_of_findings(ROWS)


# statement, code, what is proposed
INSTEAD = [
    pytest.param(allow("vm:Reboot", "qcs::vm:::ins/*"), "CG306", "qcs::vm:::instance/…",
                 id="how resources look"),
]  # fmt: skip


test_a_finding_asks_what_was_meant = table_of_questions(INSTEAD)
