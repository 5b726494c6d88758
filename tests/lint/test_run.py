"""Lint as a whole: which codes are errors, and what has no finding at all."""

from __future__ import annotations

import pytest

from camguard.lint import Supplies
from tests.company import inside, outside
from tests.lint.statements import ANY, VM, Statement, allow, deny, findings, hours

CLEAN = [
    pytest.param([allow("art:*")], id="an allow of a service"),
    pytest.param([allow("vm:*", VM)], id="an allow of a service on a resource"),
    pytest.param([deny("vm:*", VM), allow("vm:*")], id="a deny of a resource"),
    pytest.param([allow("art:*", **inside("10.1.0.0/16", "203.0.113.7"))], id="an allow from the office"),
    pytest.param([deny("art:*", **outside("10.1.0.0/16"))], id="a deny outside of the office"),
    pytest.param([allow("vm:Reboot", **ANY)], id="an allow by tag"),
    pytest.param([allow("vm:Reboot", "qcs::vm:::instance/${uin}-*")], id="an allow of one's own"),
    pytest.param([deny(**hours("12-24", "12-31"))], id="a deny over the holidays"),
]  # fmt: skip


@pytest.mark.parametrize("statements", CLEAN)
def test_plain_policies_have_no_findings(statements: list[Statement]) -> None:
    assert findings(*statements, supplies=Supplies(listed_tags=True)) == []
