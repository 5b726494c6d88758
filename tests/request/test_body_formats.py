"""Bodies that may name an action of their own: T36, T37, T63, T64 (THREATS 3.2.7)."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from camguard.request import body_formats
from camguard.request.body import is_plain
from camguard.request.body_formats import _may_decide, _read_json, _read_multipart, body_format
from camguard.request.multipart import multipart_fields
from camguard.request.params import Lookalikes
from camguard.request.rejection import Rejection
from tests.stage import OFFICE, QUIET, Known, Line, Play, Reply, ask, limits, sdk

NAMES = Lookalikes(frozenset(), re.compile("(?!)"))  # the parameters are wanted, whatever their names

FROM_OFFICE = (b"x-forwarded-for", OFFICE.encode())
MULTIPART = b"multipart/form-data; boundary=b0undary"
FORM_TYPE = b"application/x-www-form-urlencoded"
JSON_TYPE = b"application/json"


def post(body: bytes, content_type: bytes = b"application/json") -> Reply:
    return ask(lines=sdk(FROM_OFFICE, content_type=content_type), chunks=(body,))


# content type, detail
TYPES = [
    pytest.param(b"application/json", "allowed", id="JSON"),
    pytest.param(b"Application/JSON; charset=UTF-8", "allowed", id="JSON in UTF-8, in another case"),
    pytest.param(b"application/octet-stream", "allowed", id="a stream of bytes"),
    pytest.param(b"application/octet-stream; charset=utf-8", "allowed", id="what the Node SDK sends"),
    pytest.param(b"application/json; charset=utf-16", "content_type", id="T36 another encoding"),
    pytest.param(b"application/json; charset=utf-8; charset=utf-7", "content_type", id="T36 two encodings"),
    pytest.param(b"application/json; boundary=x", "content_type", id="JSON with a boundary"),
    pytest.param(b"application/json;", "content_type", id="nothing behind the semicolon"),
    pytest.param(b"application/json ", "content_type", id="a trailing blank"),
    pytest.param(b"application/json, text/plain", "content_type", id="T37 a list"),
    pytest.param(b"text/plain", "content_type", id="T37 text"),
    pytest.param(b"text/json", "content_type", id="T37 another name for JSON"),
    pytest.param(b"application/xml", "content_type", id="XML"),
    pytest.param(b"multipart/form-data", "content_type", id="multipart without a boundary"),
    pytest.param(b"multipart/mixed; boundary=x", "content_type", id="another multipart"),
    pytest.param(b"multipart/form-data; boundary=a; boundary=b", "content_type", id="two boundaries"),
    pytest.param(
        b"multipart/form-data; boundary=" + b"a" * 71, "content_type", id="a boundary of 71 characters"
    ),
    pytest.param(b"", "content_type", id="an empty type"),
]


@pytest.mark.parametrize(("content_type", "detail"), TYPES)
def test_content_types(content_type: bytes, detail: str) -> None:
    reply = post(b"{}", content_type)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


def test_a_post_says_what_its_body_is_and_a_get_need_not() -> None:
    lines = sdk(FROM_OFFICE, without=[b"content-type"])
    assert ask(lines=lines).detail == "content_type"
    assert ask(lines=lines, method="GET", chunks=(b"",)).detail == "allowed"


# body, detail
JSON = [
    pytest.param(b'{"Prompt": "a cat"}', "allowed", id="no such name"),
    pytest.param(b"{}", "allowed", id="no parameters"),
    pytest.param(b"", "allowed", id="no body"),
    pytest.param(b'{"Action": "QueryArea"}', "allowed", id="THREATS 3.2.7 the same action"),
    pytest.param(b'{"Action": "DeleteBudget"}', "action_conflict", id="T36 another action"),
    pytest.param(b'{"Action": ""}', "action_conflict", id="T36 an empty action"),
    pytest.param(b'{"Action": null}', "action_conflict", id="T36 null"),
    pytest.param(b'{"Action": ["QueryArea"]}', "action_conflict", id="T36 a list"),
    pytest.param(
        b'{"Action": "QueryArea", "Action": "DeleteBudget"}', "body_malformed", id="T36 the name twice"
    ),
    pytest.param(b'{"A": 1, "A": 2, "Action": "QueryArea"}', "body_malformed", id="T36 another name twice"),
    pytest.param(b'{"\\u0041ction": "DeleteBudget"}', "action_conflict", id="T36 the name escaped"),
    pytest.param(
        b'{"\\u0041\\u0063\\u0074\\u0069\\u006f\\u006E":"DeleteBudget"}',
        "action_conflict",
        id="T36 wholly escaped",
    ),
    pytest.param(b'{"action": "QueryArea"}', "action_alias", id="T27 a lower-case twin"),
    pytest.param(b'{" Action": "QueryArea"}', "action_alias", id="T27 a twin with a blank"),
    pytest.param(b'{"Action\\u0000x": "PayOrders"}', "action_alias", id="T27 a twin that ends at a NUL"),
    pytest.param(b'{"Act\\u00adion": "PayOrders"}', "action_alias", id="T27 a twin with a soft hyphen"),
    pytest.param(b'{"Rules": [{"Action": "ACCEPT"}]}', "allowed", id="a nested name is a parameter"),
    pytest.param(b'{"Prompt": "an action hero"}', "allowed", id="the word in a value"),
    pytest.param(b'["Action", "DeleteBudget"]', "allowed", id="no object, no members"),
    pytest.param(b'{"Action": "QueryArea"', "body_malformed", id="T48 no JSON, where it must be read"),
    pytest.param(b'{"Action": NaN}', "body_malformed", id="T87 NaN"),
    pytest.param(b'{"Action": "\\ud800"}', "body_malformed", id="T87 half a surrogate pair"),
    pytest.param(b'\xef\xbb\xbf{"Action": "DeleteBudget"}', "body_malformed", id="T87 a byte order mark"),
    pytest.param('{"Action": "DeleteBudget"}'.encode("utf-16"), "body_malformed", id="T87 UTF-16"),
    pytest.param('{"Action": "DeleteBudget"}'.encode("utf-32-be"), "body_malformed", id="T87 UTF-32"),
    pytest.param(b'{"\xc1\x81ction": "DeleteBudget"}', "body_malformed", id="T32 overlong UTF-8"),
    pytest.param('{"Prompt": "\u4e2d"}'.encode(), "allowed", id="what the Node SDK sends"),
    pytest.param(b'{"Action":' + b"[" * 20_000, "body_malformed", id="T87 a depth of 20 000"),
    pytest.param(b'{"Action":' + b"9" * 5000 + b"}", "action_conflict", id="T87 five thousand digits"),
    pytest.param(
        b'{"Action":[' + b"0," * 40_001 + b"0]}", "too_many_params", id="T38 too many values to read"
    ),
]


@pytest.mark.parametrize(("body", "detail"), JSON)
def test_json(body: bytes, detail: str) -> None:
    reply = post(body)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")
    if reply.passed:
        assert reply.taken == body


def part(
    name: bytes, value: bytes, disposition: bytes = b'Content-Disposition: form-data; name="%s"'
) -> bytes:
    line = disposition % name if b"%s" in disposition else disposition
    return b"--b0undary\r\n" + line + b"\r\n\r\n" + value + b"\r\n"


END = b"--b0undary--\r\n"
GOOD = part(b"Prompt", b"a cat")
PNG = b"\x89PNG\r\n\x1a\n\x00Action\r\n--other\r\n"

# body, detail
PARTS = [
    pytest.param(GOOD + END, "allowed", id="no such name"),
    pytest.param(b"", "allowed", id="no body, as the SDK sends without parameters"),
    pytest.param(GOOD + b"--b0undary--", "allowed", id="no line end behind the last boundary"),
    pytest.param(
        part(
            b"Image",
            PNG,
            b'Content-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: image/png'.replace(
                b'filename="%s"', b'filename="x"'
            ),
        )
        + END,
        "allowed",
        id="a file",
    ),
    pytest.param(
        part(b"A", b"", b'content-disposition:form-data; name="%s"') + END, "allowed", id="an empty value"
    ),
    pytest.param(part(b"Action", b"QueryArea") + END, "allowed", id="THREATS 3.2.7 the same action"),
    pytest.param(part(b"Action", b"DeleteBudget") + END, "action_conflict", id="T36 another action"),
    pytest.param(part(b"Action", b"QueryArea ") + END, "action_conflict", id="T36 a trailing blank"),
    pytest.param(part(b"Action", b"\xff") + END, "action_conflict", id="T36 no text"),
    pytest.param(part(b"Action", b"QueryArea") * 2 + END, "action_duplicate", id="T36 the name twice"),
    pytest.param(part(b"action", b"QueryArea") + END, "action_alias", id="T27 a twin"),
    pytest.param(part(b"Action[]", b"QueryArea") + END, "action_alias", id="T27 brackets"),
    pytest.param(part(b"%41ction", b"QueryArea") + END, "action_alias", id="T27 percent-encoded"),
    pytest.param(part(b"Act\\ion", b"DeleteBudget") + END, "body_malformed", id="T36 a backslash in a name"),
    pytest.param(
        part(b"x", b"", b'Content-Disposition: form-data; name="x"; name="Action"') + END,
        "body_malformed",
        id="T36 two names",
    ),
    pytest.param(
        part(b"x", b"", b"Content-Disposition: form-data; name=Action") + END,
        "action_conflict",
        id="a name without quotes is a name",
    ),
    pytest.param(
        part(b"x", b"", b"Content-Disposition: form-data; name*=utf-8''Action") + END,
        "body_malformed",
        id="T36 an extended name",
    ),
    pytest.param(
        part(
            b"x",
            b"",
            b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="Action"',
        )
        + END,
        "body_malformed",
        id="T36 two dispositions",
    ),
    pytest.param(
        part(b"x", b"", b'Content-Disposition: form-data;\r\n name="Action"') + END,
        "body_malformed",
        id="T54 a folded part header",
    ),
    pytest.param(part(b"x", b"", b"X: 1") + END, "body_malformed", id="T36 a part without a name"),
    pytest.param(part(b"", b"") + END, "body_malformed", id="T36 an empty name"),
    pytest.param(b"preamble\r\n" + GOOD + END, "body_malformed", id="T36 a preamble"),
    pytest.param(GOOD + END + b"epilogue", "body_malformed", id="T36 an epilogue"),
    pytest.param(GOOD, "body_malformed", id="T48 no last boundary"),
    pytest.param(END + GOOD + END, "body_malformed", id="T36 an end before the end"),
    pytest.param((GOOD + END).replace(b"\r\n", b"\n"), "body_malformed", id="T54 bare line feeds"),
    pytest.param(
        part(b"A", b"x\n--b0undary\n") + END, "body_malformed", id="T36 a boundary that only some would see"
    ),
    pytest.param(part(b"A", b"x--b0undary") + END, "body_malformed", id="T36 a boundary within a line"),
    pytest.param(
        b"--b0undary\r\n" + b"x" * 9000 + b"\r\n\r\n\r\n" + END, "body_malformed", id="T64 a long part header"
    ),
    pytest.param(
        GOOD.replace(b"Prompt", b"%d") * 1001 + END, "too_many_params", id="T64 a thousand and one parts"
    ),
]


@pytest.mark.parametrize(("body", "detail"), PARTS)
def test_multipart(body: bytes, detail: str) -> None:
    reply = post(body, MULTIPART)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")
    if reply.passed:
        assert reply.taken == body


@given(
    st.lists(
        st.sampled_from(["ion", "act", "vers", "reg", "ReGiOn", "n", "io", "a", "\\/", "\\u"]), max_size=12
    ),
    st.integers(0, 4),
    st.integers(1, 40),
)
def test_every_name_that_decides_is_found_wherever_it_stands_and_however_often_its_ending_does(
    pieces: list[str], most: int, size: int
) -> None:
    body = "".join(pieces).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_formats, "_MOST_ENDINGS", most)
        patch.setattr(body_formats, "_SLICE", size)
        expected = re.search(rb"action|version|region|\\u", body, re.IGNORECASE) is not None
        assert _may_decide(body) is expected


def test_t64_reading_stays_linear() -> None:
    began = time.perf_counter()
    for body in (
        b"-" * 1_000_000,
        b"--b0undary" * 1000,
        b"\r\n" * 500_000,
        part(b"A", b'"' * 1_000_000) + END,
    ):
        multipart_fields(body, b"b0undary", 1000)
    for text in (b"; " * 30_000, b'; a="' * 10_000, b"application/json" + b" ;" * 10_000):
        body_format(b"application/json" + text)
    _read_json(b'{"Action":' + b"[" * 1_000_000, "A", NAMES, depth=64, limit=100_000)
    _read_multipart(
        part(b"x", b"", b"Content-Disposition: form-data" + b'; a="\\' * 1600) + END,
        b"b0undary",
        "A",
        NAMES,
        limit=9,
    )
    assert time.perf_counter() - began < 3


def test_depth_and_count_are_settings() -> None:
    body = b'{"Action": "QueryArea", "A": [[[1]]]}'
    assert ask(limits(json_depth=3), lines=sdk(FROM_OFFICE), chunks=(body,)).detail == "body_malformed"
    assert ask(limits(json_depth=4), lines=sdk(FROM_OFFICE), chunks=(body,)).detail == "allowed"


keys_ = st.one_of(
    st.sampled_from(["Action", "action", "ACTION ", "Prompt", "Transaction"]), st.text(max_size=5)
)
documents = st.dictionaries(
    keys_, st.one_of(st.sampled_from(["QueryArea", "DeleteBudget"]), st.integers(), st.text())
)


@QUIET
@given(documents, st.booleans())
@example({"\u0410ction": "DeleteBudget"}, True)
def test_what_passes_names_no_other_action_to_a_second_reader(
    document: dict[str, object], ascii_: bool
) -> None:
    body = json.dumps(document, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    found = _read_json(body, "QueryArea", None, depth=64, limit=1000)
    if not isinstance(found, Rejection):
        read = json.loads(body)
        assert {value for name, value in read.items() if name.strip().lower() == "action"} <= {"QueryArea"}
        assert not is_plain(body) or "action" not in {name.lower() for name in read}


@QUIET
@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused_and_never_raises(body: bytes) -> None:
    _read_json(body, "A", NAMES, depth=8, limit=10)
    _read_multipart(b"--b\r\n" + body + b"\r\n--b--", b"b", "A", NAMES, limit=10)
    _read_multipart(body, b"b", "A", NAMES, limit=10)
    body_format(body)


def stop(**more: bytes) -> tuple[Line, ...]:
    """Return the lines of a call that stops instances."""
    named = {
        "host": b"cvm.tencentcloudapi.com",
        "x_tc_action": b"StopInstances",
        "x_tc_region": b"ap-guangzhou",
    }
    return sdk(FROM_OFFICE, without=[b"x-tc-version"], **named, **more)


# action's parameters, resources
PARAMETERS = [
    pytest.param(b'{"InstanceIds": ["ins-1"]}', "allowed", id="its own instance"),
    pytest.param(b'{"InstanceIds": ["ins-1", "ins-2"]}', "no_allow", id="another one beside it"),
    pytest.param(b"{}", "no_allow", id="none named"),
    pytest.param(b'{"InstanceIds": "ins-1", "instanceIDs": "x"}', "no_allow", id="another case beside it"),
    pytest.param(
        '{"InstanceIds": "ins-1", "InstanceId\u017f": "x"}'.encode(), "no_allow", id="a long s, to Go an s"
    ),
    pytest.param(b'{"InstanceIds": [7]}', "allowed", id="a number"),
    pytest.param(b'{"InstanceIds": [7.0]}', "no_allow", id="a number that is 7 to some readers"),
    pytest.param(b'{"InstanceIds": [7e0]}', "no_allow", id="another one"),
    pytest.param(b'{"InstanceIds": [-0]}', "no_allow", id="minus nothing"),
    pytest.param(b'{"InstanceIds": "ins-1"', "body_malformed", id="what cannot be read names nothing"),
]


@pytest.mark.parametrize(("body", "detail"), PARAMETERS)
def test_resources_come_from_the_parameters(body: bytes, detail: str) -> None:
    """CAM 5.5."""
    lines = sdk(
        FROM_OFFICE,
        host=b"cvm.tencentcloudapi.com",
        x_tc_action=b"StopInstances",
        x_tc_region=b"ap-guangzhou",
    )
    reply = Play(who=Known("uin/100000000103")).ask(lines=lines, chunks=(body,))
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


def test_resources_come_from_query_form_and_parts_too() -> None:
    base: dict[str, Any] = {
        "host": b"cvm.tencentcloudapi.com",
        "x_tc_action": b"StopInstances",
        "x_tc_region": b"ap-guangzhou",
    }
    play = Play(who=Known("uin/100000000103"))
    form = b"application/x-www-form-urlencoded"
    assert play.ask(
        lines=sdk(FROM_OFFICE, **base), method="GET", query=b"InstanceIds.0=ins-1", chunks=(b"",)
    ).passed
    assert play.ask(
        lines=sdk(FROM_OFFICE, **base, content_type=form), chunks=(b"InstanceIds.0=ins-1",)
    ).passed
    assert play.ask(
        lines=sdk(FROM_OFFICE, **base, content_type=MULTIPART), chunks=(part(b"InstanceIds", b"ins-1") + END,)
    ).passed
    denied = play.ask(
        lines=sdk(FROM_OFFICE, **base), method="GET", query=b"InstanceIds.0=ins-%22", chunks=(b"",)
    )
    assert denied.records[0].resources == ('qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-"',)
    assert 'instance/ins-")' in denied.error["Message"]


# value of the part, detail
LISTS = [
    pytest.param(b'["ins-1"]', "allowed", id="a list, as the vendor's SDK writes it"),
    pytest.param(b' ["ins-1", "ins-2"]', "no_allow", id="another one in it"),
    pytest.param(b'["ins-1"', "no_allow", id="a list that does not end"),
    pytest.param(b'{"ins-1": 1, "ins-1": 2}', "no_allow", id="a name twice"),
    pytest.param(b"[" + b"1," * 100_001 + b"1]", "no_allow", id="too many values"),
]


@pytest.mark.parametrize(("value", "detail"), LISTS)
def test_a_part_that_holds_json_names_what_is_in_it(value: bytes, detail: str) -> None:
    body = part(b"InstanceIds", value) + END
    lines = stop(content_type=MULTIPART)
    reply = Play(who=Known("uin/100000000103")).ask(lines=lines, chunks=(body,))
    assert reply.detail == detail


def test_parts_with_dots_are_nested_as_a_form_s_are() -> None:
    play = Play(who=Known("uin/100000000103"))
    first, second = part(b"InstanceIds.0", b"ins-1"), part(b"InstanceIds.1", b"ins-2")
    whole = part(b"InstanceIds", b"ins-1")
    lines = stop(content_type=MULTIPART)
    assert play.ask(lines=lines, chunks=(first + END,)).detail == "allowed"
    assert play.ask(lines=lines, chunks=(first + second + END,)).detail == "no_allow"
    for body in (whole + second, whole + part(b"InstanceIds[0]", b"ins-2")):
        assert play.ask(lines=lines, chunks=(body + END,)).detail == "param_ambiguous"


# content type, body, query, detail
BESIDE = [
    pytest.param(JSON_TYPE, b'{"InstanceIds": ["ins-1"]}', b"A=1", "allowed", id="something else"),
    pytest.param(JSON_TYPE, b'{"InstanceIds": ["ins-1"]}', b"InstanceIds.0=ins-2", "no_allow", id="JSON"),
    pytest.param(FORM_TYPE, b"InstanceIds.0=ins-1", b"InstanceId=ins-2", "no_allow", id="form"),
    pytest.param(
        MULTIPART, part(b"InstanceIds", b"ins-1") + END, b"InstanceId=ins-2", "no_allow", id="parts"
    ),
    pytest.param(
        FORM_TYPE, b"InstanceIds.0=ins-1&InstanceIds[]=ins-2", b"", "param_ambiguous", id="brackets"
    ),
    pytest.param(FORM_TYPE, b"InstanceIds.0=ins-1", b"A=1&A=2", "no_allow", id="a query of two readings"),
    pytest.param(JSON_TYPE, b"", b"InstanceIds.0=ins-1", "no_allow", id="the query alone"),
]


@pytest.mark.parametrize(("kind", "body", "query", "detail"), BESIDE)
def test_a_query_beside_a_body_names_resources_too(
    kind: bytes, body: bytes, query: bytes, detail: str
) -> None:
    play = Play(who=Known("uin/100000000103"))
    assert play.ask(lines=stop(content_type=kind), query=query, chunks=(body,)).detail == detail
