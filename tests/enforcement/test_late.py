"""The order of the late decision: form, caller, policies, content, resources (T38, THREATS 3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.request.rejection import Rejection, rejection
from tests.stage import ALICE, FROM_OFFICE, FixedCaller, Line, reply_to, sdk

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
STOPPER = "uin/100000000103"  # may stop ins-1
SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")


def form(**changes: Any) -> tuple[Line, ...]:
    return sdk(FROM_OFFICE, without=[b"x-tc-action"], content_type=FORM, **changes)


def stop(content_type: bytes = JSON) -> tuple[Line, ...]:
    """Return the lines of a signed call that stops instances."""
    return sdk(
        FROM_OFFICE,
        SIGNED,
        (b"x-tc-region", b"ap-guangzhou"),
        without=[b"x-tc-version"],
        host=b"cvm.tencentcloudapi.com",
        x_tc_action=b"StopInstances",
        content_type=content_type,
    )


NO_CALLER = rejection("signature_invalid")
DENIED = "uin/100000000102"

# Lines, body, caller, the detail of the first stage that refuses. Each row breaks two stages at once.
ORDER = [
    pytest.param(form(), b"%", NO_CALLER, "body_malformed", id="T38 a bad form before an unknown caller"),
    pytest.param(form(), b"A=1", NO_CALLER, "action_missing", id="T38 no action before an unknown caller"),
    pytest.param(
        form(), b"Action=QueryArea", NO_CALLER, "signature_invalid", id="T38 an unknown caller after a form"
    ),
    pytest.param(
        sdk(FROM_OFFICE, SIGNED),
        b'{"Action":"X"}',
        NO_CALLER,
        "signature_invalid",
        id="T38 an unknown caller before another action in the body",
    ),
    pytest.param(
        sdk(FROM_OFFICE, SIGNED),
        b'{"Action":"X"}',
        DENIED,
        "no_allow",
        id="T38 a denial before another action in the body",
    ),
    pytest.param(
        sdk(FROM_OFFICE, SIGNED), b'{"Action":"X"}', None, "action_conflict", id="another action in the body"
    ),
    pytest.param(
        stop(),
        b'{"InstanceIds":["ins-2"],"Action":"X"}',
        STOPPER,
        "action_conflict",
        id="T38 another action before a denied resource",
    ),
    pytest.param(stop(), b'{"InstanceIds":["ins-2"]}', STOPPER, "no_allow", id="a denied resource"),
    pytest.param(stop(), b'{"InstanceIds":["ins-1"]}', STOPPER, "allowed", id="an allowed resource"),
    pytest.param(stop(), b'{"InstanceIds":["ins-1"]', STOPPER, "body_malformed", id="a body that is no JSON"),
    pytest.param(stop(), b"[]", STOPPER, "no_allow", id="a body that names no resource"),
    pytest.param(form(), b"Action=QueryArea", None, "allowed", id="a form that names the action"),
    pytest.param(form(), b"Action=PayOrders", None, "explicit_deny", id="a form that names a denied action"),
    pytest.param(
        form(x_tc_action=b"QueryArea"), b"A=1", None, "allowed", id="a form beside the header of the action"
    ),
    pytest.param(
        form(x_tc_action=b"QueryArea"),
        b"Action=PayOrders",
        None,
        "action_conflict",
        id="a form and a header that disagree",
    ),
]


@pytest.mark.parametrize(("lines", "body", "caller", "detail"), ORDER)
def test_the_first_stage_that_refuses_decides(
    lines: tuple[Line, ...], body: bytes, caller: str | Rejection | None, detail: str
) -> None:
    authentication = FixedCaller(caller if isinstance(caller, str) else ALICE, body=True)
    if isinstance(caller, Rejection):
        authentication.found = caller
    reply = reply_to(authentication=authentication, lines=lines, chunks=(body,))
    assert reply.detail == detail
    assert reply.passed is (detail == "allowed")
    assert (reply.records[0].resources == ()) is isinstance(reply.records[0].decision, Rejection)


def test_a_call_that_was_decided_late_has_the_resources_of_its_body() -> None:
    reply = reply_to(
        authentication=FixedCaller(STOPPER, body=True),
        lines=stop(),
        chunks=(b'{"InstanceIds":["ins-1","72"]}',),
    )
    prefix = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/"
    assert reply.passed
    assert reply.records[0].resources == (f"{prefix}ins-1", f"{prefix}72")
