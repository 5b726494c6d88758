"""A call on templates that exclude each other is judged as the one that its value fits (DEC-61)."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.enforcement.resource_binding import bind_resources, cut_templates
from camguard.policy.resources import Owner
from tests.company import action

COMMAND = "qcs::tat:${region}:uin/${uin}:command/${commandId}"
CVM = "qcs::cvm:${region}:uin/${uin}:instance/${instanceId}"
LIGHTHOUSE = "qcs::lighthouse:${region}:uin/${uin}:instance/${instanceId}"
GROUP = {"cvm": "ins-*", "lighthouse": "lhins-*"}
BOUND_COMMAND = "qcs::tat:ap-guangzhou:uin/100100:command/cmd-1"


def bound(parameters: dict[str, Any], *templates: str, **facts: Any) -> tuple[str | None, ...]:
    entry = action("tat:Run", *templates, **facts)
    cut = cut_templates(entry, Owner("100100", "125"))
    return bind_resources(cut, (parameters,), "ap-guangzhou")


def of(service: str, name: str) -> str:
    return f"qcs::{service}:ap-guangzhou:uin/100100:instance/{name}"


# the instances of a call, the resources that it needs besides the command
VALUES = [
    pytest.param(["ins-1"], [of("cvm", "ins-1")], id="DEC-61 a value of the first form"),
    pytest.param("lhins-1", [of("lighthouse", "lhins-1")], id="DEC-61 a value of the second form"),
    pytest.param(["ins-1", "lhins-2"], [of("cvm", "ins-1"), of("lighthouse", "lhins-2")],
                 id="DEC-61 a value of each form"),
    pytest.param(["eks-1"], [of("cvm", "eks-1"), of("lighthouse", "eks-1")], id="DEC-61 a value of no form"),
    pytest.param(["INS-1"], [of("cvm", "INS-1"), of("lighthouse", "INS-1")], id="DEC-61 other letters"),
    pytest.param(["ins-1", "x"], [of("cvm", "ins-1"), of("cvm", "x"), of("lighthouse", "x")],
                 id="DEC-61 one value of a form and one of none"),
    pytest.param([], [None], id="no value"),
    pytest.param(None, [None], id="a value that is no text"),
]  # fmt: skip


@pytest.mark.parametrize(("instances", "resources"), VALUES)
def test_a_value_belongs_to_the_template_that_it_fits(instances: Any, resources: list[str | None]) -> None:
    parameters = {"CommandId": "cmd-1", "InstanceIds": instances}
    found = bound(parameters, COMMAND, CVM, LIGHTHOUSE, alternatives=(GROUP,))
    assert found == (BOUND_COMMAND, *resources)


def test_a_value_of_several_forms_belongs_to_every_template() -> None:
    wide = {"cvm": "ins-*", "lighthouse": "i*"}
    found = bound({"InstanceIds": ["ins-1", "i-1"]}, CVM, LIGHTHOUSE, alternatives=(wide,))
    assert found == (of("cvm", "ins-1"), of("lighthouse", "ins-1"), of("lighthouse", "i-1"))


def test_without_alternatives_a_value_belongs_to_every_template() -> None:
    found = bound({"InstanceIds": ["ins-1"]}, CVM, LIGHTHOUSE)
    assert found == (of("cvm", "ins-1"), of("lighthouse", "ins-1"))


def test_a_decoy_beside_the_parameter_is_judged_too() -> None:
    found = bound({"InstanceIds": ["ins-1"], "InstanceId": "lhins-9"}, CVM, LIGHTHOUSE, alternatives=(GROUP,))
    assert found == (of("cvm", "ins-1"), of("lighthouse", "lhins-9"))


def test_where_one_template_is_enough_several_values_are_undetermined() -> None:
    found = bound({"InstanceIds": ["ins-1", "ins-2"]}, CVM, LIGHTHOUSE, match="any")
    assert found == (None,)
