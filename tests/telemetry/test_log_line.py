"""One line of the decision log: the same keys, printable, bounded, whatever was sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.catalog.model import Action
from camguard.engine.decision import Decision, Reason
from camguard.ipset import parse_address
from camguard.request.rejection import rejection
from camguard.telemetry.exposition import UPSTREAM_ERROR
from camguard.telemetry.log_line import LINE_BYTES, TEXT_BYTES, log_line
from camguard.telemetry.record import NO_REPLY, REPLY_INCOMPLETE, Record
from tests.telemetry.samples import action_of, record_of

KEYS = [
    *("schema", "time", "id", "listener", "mode", "decision", "reason", "detail", "layer", "principal"),
    *("secret_id", "service", "action", "cam_action", "access", "resources", "host", "source_ip"),
    *("egress_ip", "peer", "statements", "revision", "candidate", "duration_us", "status"),
    *("upstream_status", "upstream_error", "trace_id", "client_request_id"),
]

ACT = action_of("aiart", "TextToImage")


def read(line: bytes) -> dict[str, Any]:
    assert line.endswith(b"\n")
    assert re.fullmatch(rb"[ -~]+", line[:-1]), "printable ASCII and one line"
    assert len(line) <= LINE_BYTES
    found: dict[str, Any] = json.loads(line)
    assert list(found) == KEYS
    return found


def test_an_allowed_call() -> None:
    assert read(log_line(record_of(ACT), 200, None, 200)) == {
        "schema": 2,
        "time": "2026-03-10T12:00:00.250000Z",
        "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "listener": "middleware",
        "mode": "enforce",
        "decision": "allow",
        "reason": "allowed",
        "detail": None,
        "layer": None,
        "principal": "uin/100000000101",
        "secret_id": "AKIDz8…EXAM",
        "service": "aiart",
        "action": "TextToImage",
        "cam_action": "aiart:TextToImage",
        "access": "write",
        "resources": ["*"],
        "host": "aiart.tencentcloudapi.com",
        "source_ip": "10.1.2.3",
        "egress_ip": None,
        "peer": "127.0.0.1",
        "statements": ["all#0"],
        "revision": "0123456789ab",
        "candidate": None,
        "duration_us": 20.0,
        "status": 200,
        "upstream_status": 200,
        "upstream_error": None,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "client_request_id": "job-17/2",
    }


@pytest.mark.parametrize("error", [NO_REPLY, REPLY_INCOMPLETE, *UPSTREAM_ERROR])
def test_t130_the_failure_behind_an_allow_is_named(error: str) -> None:
    found = read(log_line(record_of(ACT), None, error))
    assert (found["decision"], found["upstream_status"], found["upstream_error"]) == ("allow", None, error)


def test_a_request_that_could_not_be_read_has_the_same_keys() -> None:
    unread = dict.fromkeys(
        (
            *("principal", "secret_id", "service", "action", "source_ip", "peer", "client_ip", "signature"),
            *("host", "trace_id", "client_request_id"),
        )
    )
    found = read(log_line(record_of(None, Reason.MALFORMED, resources=(), revision="", **unread), None))
    assert (found["decision"], found["reason"]) == ("deny", "malformed")
    assert {key for key, value in found.items() if value is None} == {
        *("detail", "layer", "principal", "secret_id", "service", "action", "cam_action", "access", "host"),
        *("source_ip", "egress_ip", "peer", "revision", "candidate", "status", "upstream_status"),
        *("upstream_error", "trace_id", "client_request_id"),
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_word_of_the_log(reason: Reason) -> None:
    found = read(log_line(record_of(ACT, reason, candidate=Decision(reason)), None))
    assert found["reason"] == found["candidate"] == reason.value
    assert found["decision"] == ("allow" if reason is Reason.ALLOWED else "deny")


# record, then detail and layer in its line
CAUSES_OF = [
    pytest.param(record_of(ACT, decision=rejection("header_alias")), "header_alias", None, id="a rejection"),
    pytest.param(
        record_of(ACT, decision=Decision(Reason.LAYER_LIMIT, layer="boundary")),
        None,
        "boundary",
        id="a layer",
    ),
    pytest.param(record_of(ACT, decision=Decision(Reason.NO_ALLOW, detail="x")), "x", None, id="a detail"),
]


@pytest.mark.parametrize(("record", "detail", "layer"), CAUSES_OF)
def test_the_cause_of_a_denial_is_in_its_line(record: Record, detail: str | None, layer: str | None) -> None:
    found = read(log_line(record, None, None, 403))
    assert (found["detail"], found["layer"], found["status"]) == (detail, layer, 403)


MOMENTS = [
    pytest.param(0.0, "1970-01-01T00:00:00.000000Z", id="the epoch"),
    pytest.param(1773144000.9999996, "2026-03-10T12:00:01.000000Z", id="rounded into the next second"),
    pytest.param(1773144000.000001, "2026-03-10T12:00:00.000001Z", id="a microsecond"),
    pytest.param(-0.5, "1969-12-31T23:59:59.500000Z", id="a clock before the epoch"),
]


@pytest.mark.parametrize(("seconds", "text"), MOMENTS)
def test_a_moment(seconds: float, text: str) -> None:
    assert read(log_line(record_of(ACT, time=seconds), None))["time"] == text


# T112: what a caller may try to put into a log
HOSTILE = [
    pytest.param("a\r\nb", id="line breaks"),
    pytest.param('x","decision":"allow', id="quotes"),
    pytest.param("\x1b[2J\x1b]0;pwned\x07", id="terminal control"),
    pytest.param("\u2028\u2029\x85", id="line breaks of Unicode"),
    pytest.param("\u202e\u2066", id="writing turned round"),
    pytest.param("\x00\x7f\\", id="NUL, DEL, backslash"),
    pytest.param("%s%d{}", id="format signs"),
    pytest.param("日本𝄞é", id="other scripts"),
]
FIELDS = (
    *("principal", "secret_id", "service", "action", "peer", "listener", "mode"),
    *("host", "request_id", "trace_id", "client_request_id"),
)
WRITTEN = {"request_id": "id"}  # fields that the line names otherwise


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_text_stays_inside_its_field(field: str, text: str) -> None:
    fields: dict[str, Any] = {field: text}
    assert read(log_line(record_of(ACT, **fields), None))[WRITTEN.get(field, field)] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_resource_stays_inside_its_list(text: str) -> None:
    assert read(log_line(record_of(ACT, resources=(text, None)), None))["resources"] == [text, None]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud800\ud800", "\udc80" * 300], ids=ascii)
def test_half_a_pair_is_replaced(text: str) -> None:
    principal = read(log_line(record_of(ACT, principal=text), None))["principal"]
    principal.encode()
    assert "\ufffd" in principal


# text, how it is written
LONG = [
    pytest.param("x" * 224, "x" * 224, id="as long as may be"),
    pytest.param("x" * 225, "x" * 221 + "...", id="one longer"),
    pytest.param("é" * 300, "é" * 36 + "...", id="counted as escaped"),
    pytest.param("𝄞" * 256, "𝄞" * 18 + "...", id="never within a pair"),
    pytest.param("x" * 1_000_000, "x" * 221 + "...", id="a million"),
]


@pytest.mark.parametrize(("text", "written"), LONG)
def test_a_long_text_is_cut(text: str, written: str) -> None:
    assert read(log_line(record_of(ACT, action=text), None))["action"] == written


def test_a_long_list_is_cut_after_what_fits() -> None:
    resources = tuple(f"qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-{at}" for at in range(100))
    found = read(log_line(record_of(ACT, resources=resources), None))["resources"]
    assert found[-1] == "..."
    assert found[:-1] == list(resources[: len(found) - 1])
    assert len(found) > 10


def test_the_worst_of_all_is_one_short_line() -> None:
    worst = "\U0010ffff" * 1000
    entry = Action("aiart", worst, ACT.access, ACT.granularity, ("*",), ip_restriction=True)
    decision = Decision(Reason.UNDETERMINED_DENY, (worst,) * 1000, worst, worst)
    changes: dict[str, Any] = dict.fromkeys(FIELDS, worst)
    place = (1 << 32) + (1 << 128) - 1
    changes |= {"source_ip": place, "egress_ip": place, "resources": (worst,) * 1000, "revision": worst}
    changes["cam_action"] = ",".join(["a" * 63 + ":" + "B" * 64] * 4)
    record = record_of(entry, decision=decision, candidate=decision, duration=1e9, **changes)
    found = read(log_line(record, 599, REPLY_INCOMPLETE, 599))
    assert len(found["principal"].encode("ascii", "backslashreplace")) <= TEXT_BYTES
    assert (len(found["cam_action"]), found["cam_action"][-3:]) == (192, "...")


@given(
    texts=st.fixed_dictionaries({field: st.none() | st.text(max_size=400) for field in FIELDS}),
    resources=st.lists(st.none() | st.text(max_size=300), max_size=40),
    status=st.none() | st.integers(100, 599),
)
def test_any_line_can_be_read(texts: dict[str, Any], resources: list[str | None], status: int | None) -> None:
    found = read(log_line(record_of(ACT, resources=tuple(resources), **texts), status))
    assert found["upstream_status"] == status


def test_t132_the_address_that_was_judged_stands_beside_the_one_that_was_found() -> None:
    found = read(log_line(record_of(ACT, egress_ip=parse_address("203.0.113.7")), None))
    assert (found["source_ip"], found["egress_ip"]) == ("10.1.2.3", "203.0.113.7")
