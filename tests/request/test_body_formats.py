"""Bodies that may name an action of their own: T36, T37, T63, T64 (THREATS 3.2.7)."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from camguard.request import body_formats
from camguard.request.body import is_plain
from camguard.request.body_formats import (
    BodyFormat,
    Kind,
    _may_decide,
    _read_json,
    _read_multipart,
    body_format,
    read_body,
)
from camguard.request.json_body import MOST_PARSE_COST
from camguard.request.multipart import multipart_fields
from camguard.request.params import Lookalikes, Parameters
from camguard.request.rejection import Rejection, rejection
from camguard.strict_json import Number
from tests.stage import FROM_OFFICE, QUIET, FixedCaller, Line, Play, Reply, limits, reply_to, sdk

NAMES = Lookalikes(frozenset(), re.compile("(?!)"))  # the parameters are wanted, whatever their names

MULTIPART = b"multipart/form-data; boundary=b0undary"
FORM_TYPE = b"application/x-www-form-urlencoded"
JSON_TYPE = b"application/json"


def post(body: bytes, content_type: bytes = b"application/json") -> Reply:
    return reply_to(lines=sdk(FROM_OFFICE, content_type=content_type), chunks=(body,))


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


SIGNS = b"0az'+_.-"  # every sign of a charset or of a boundary without quotes

# content type, what it announces; None where it is refused
ANNOUNCED = [
    pytest.param(b"application/json", BodyFormat("json"), id="JSON"),
    pytest.param(b"application/x-www-form-urlencoded", BodyFormat("form"), id="a form"),
    pytest.param(b"application/octet-stream", BodyFormat("octets"), id="bytes"),
    pytest.param(
        b"APPLICATION/JSON \t; \tCharset=UTF8", BodyFormat("json"), id="capitals, blanks, tabs, utf8"
    ),
    pytest.param(b'application/json;charset="utf-8"', BodyFormat("json"), id="a quoted charset"),
    pytest.param(b"multipart/form-data; boundary=" + SIGNS, BodyFormat("multipart", SIGNS), id="every sign"),
    pytest.param(
        b'multipart/form-data; boundary="' + SIGNS + b'/:="',
        BodyFormat("multipart", SIGNS + b"/:="),
        id="every sign in quotes",
    ),
    pytest.param(
        b"multipart/form-data; BOUNDARY=AZ; charset=utf-8",
        BodyFormat("multipart", b"AZ"),
        id="a boundary first",
    ),
    pytest.param(
        b"multipart/form-data; boundary=" + b"a" * 70, BodyFormat("multipart", b"a" * 70), id="70 characters"
    ),
    pytest.param(
        b'multipart/form-data; boundary="' + b"a" * 70 + b'"',
        BodyFormat("multipart", b"a" * 70),
        id="70 characters in quotes",
    ),
    pytest.param(b'multipart/form-data; boundary="' + b"a" * 71 + b'"', None, id="71 characters in quotes"),
    pytest.param(b"multipart/form-data; boundary=", None, id="an empty boundary"),
    pytest.param(b'multipart/form-data; boundary=""', None, id="an empty boundary in quotes"),
    pytest.param(b'multipart/form-data; boundary="a', None, id="a quote that does not end"),
    pytest.param(b'multipart/form-data; boundary=a"', None, id="a quote that does not begin"),
    pytest.param(b"multipart/form-data; boundary = a", None, id="blanks around the equals sign"),
    pytest.param(b"multipart/form-data, boundary=a", None, id="a comma before the boundary"),
    pytest.param(b"multipart/form-data; boundary=a; BOUNDARY=a", None, id="a boundary twice, in capitals"),
    pytest.param(b"multipart/form-data; boundary=a; x=y", None, id="another parameter"),
    pytest.param(b"application/json charset=utf-8", None, id="no semicolon"),
    pytest.param(b"application/json; charset=utf-8 ", None, id="a blank at the end"),
    pytest.param(b"application/json; charset=utf-7", None, id="another charset"),
    pytest.param(b"application/json; charset=", None, id="an empty charset"),
    pytest.param(b"application/json; charset", None, id="a charset without a value"),
    pytest.param(b"json", None, id="half a type"),
    pytest.param(b"multipart/form-data", None, id="multipart without a boundary"),
    pytest.param(b"application/json; boundary=x", None, id="JSON with a boundary"),
    pytest.param(b'application/json; boundary=""', None, id="JSON with an empty boundary"),
    pytest.param(b'multipart/form-data; boundary="a?b"', None, id="a quoted question mark"),
    pytest.param(b'multipart/form-data; boundary="a@b"', None, id="a quoted at sign"),
    pytest.param(b" application/json", None, id="a blank at the beginning"),
    pytest.param(b"application/json\n", None, id="a line feed at the end"),
    pytest.param(b"application/" + b"x" * 60, None, id="a long type"),
]


@pytest.mark.parametrize(("content_type", "content"), ANNOUNCED)
def test_what_a_content_type_announces(content_type: bytes, content: BodyFormat | None) -> None:
    """THREATS 3.5.6."""
    assert body_format(content_type) == (content or rejection("content_type"))


# JSON body, whether it is plain: short ASCII without a name that decides
PLAIN = [
    pytest.param(b"{}", True, id="an empty object"),
    pytest.param(b"", True, id="nothing"),
    pytest.param(b'{"Prompt": "a\\nb"}', False, id="any escape"),
    pytest.param(b'{"Prompt": "x"}' + b" " * 65_521, True, id="64 KiB"),
    pytest.param(b'{"Prompt": "x"}' + b" " * 65_522, False, id="more than 64 KiB"),
    pytest.param(b'{"acTion": 1}', False, id="action in any letter case"),
    pytest.param(b'{"veRsion": 1}', False, id="version"),
    pytest.param(b'{"regIon": 1}', False, id="region"),
    pytest.param(b'{"regiOn": 1}', False, id="region with one capital O"),
    pytest.param(b'{"actioN": 1}', False, id="action with one capital N"),
    pytest.param(b'{"Option": 1}', True, id="another name with the ending of these names"),
    pytest.param(b'{"a\\nb": "Action"}', False, id="action beside an escape"),
    pytest.param(b'{"\\u0041": 1}', False, id="a letter written as an escape"),
    pytest.param(b'{"a": "\0"}', False, id="a NUL"),
    pytest.param(b'{"a": "\xc3\xa9"}', False, id="a letter beyond ASCII"),
]


@pytest.mark.parametrize(("body", "plain"), PLAIN)
def test_a_plain_body_is_one_that_cannot_name_what_decides(body: bytes, plain: bool) -> None:
    assert is_plain(body) is plain


# A text without escapes costs its length; an escape that is not hidden costs six letters more.
LONGEST = b'{"A": "' + b"x" * (MOST_PARSE_COST - 9) + b'"}'
ESCAPES = b'{"A": "' + b"\\n" * ((MOST_PARSE_COST - 9) // 8) + b'"}'

# JSON body, whether parameters are wanted, limit, what is found or the detail of the refusal
INSPECTED = [
    pytest.param(b'{"A": 1}', False, 9, None, id="nothing wanted, nothing that decides"),
    pytest.param(b'{"A": "b"}', True, 9, {"A": "b"}, id="parameters wanted"),
    pytest.param(b"", True, 9, None, id="no body"),
    pytest.param(b"[1]", True, 9, None, id="a list"),
    pytest.param(b'"x"', True, 9, None, id="a text"),
    pytest.param(b'{"A": 1', False, 9, None, id="no JSON that is not read"),
    pytest.param(b'{"A": 1', True, 9, "body_malformed", id="no JSON"),
    pytest.param(b'{"Region": "x"}', False, 9, {"Region": "x"}, id="a region"),
    pytest.param(b'{"Version": "x"}', False, 9, {"Version": "x"}, id="a version"),
    pytest.param(b'{"Action": "QueryArea"}', False, 9, {"Action": "QueryArea"}, id="the same action"),
    pytest.param(b'{"Action": "X"}', False, 9, "action_conflict", id="another action"),
    pytest.param(b'{"region": "x"}', False, 9, "param_ambiguous", id="a twin of the region"),
    pytest.param(b'{"\\u0041": 1}', False, 9, {"A": Number("1")}, id="an escaped letter is read"),
    pytest.param(b'{"A": "\xc3\xa9"}', False, 9, {"A": "\u00e9"}, id="a letter beyond ASCII is read"),
    pytest.param(b'{"A": "\xff"}', False, 9, "body_malformed", id="no UTF-8, though nothing is wanted"),
    pytest.param(b'{"A": "\0"}', False, 9, "body_malformed", id="a NUL, though nothing is wanted"),
    pytest.param(b"\xef\xbb\xbf{}", False, 9, "body_malformed", id="a byte order mark"),
    pytest.param(b'{"A": 1, "B": 2}', True, 2, {"A": Number("1"), "B": Number("2")}, id="as many as may be"),
    pytest.param(b'{"A": 1, "B": 2}', True, 1, "too_many_params", id="a member too many"),
    pytest.param(b'{"A": [' + b"1," * 28 + b"1]}", True, 1, 29, id="thirty values for each parameter"),
    pytest.param(b'{"A": [' + b"1," * 29 + b"1]}", True, 1, "too_many_params", id="more values than that"),
    pytest.param(LONGEST, True, 9, MOST_PARSE_COST - 9, id="as long as may be"),
    pytest.param(LONGEST + b" ", True, 9, "too_many_params", id="a letter too many"),
    pytest.param(ESCAPES, True, 9, (MOST_PARSE_COST - 9) // 8, id="as many escapes as may be"),
    pytest.param(ESCAPES[:-2] + b'\\n"}', True, 9, "too_many_params", id="an escape too many"),
]


@pytest.mark.parametrize(("body", "wanted", "limit", "found"), INSPECTED)
def test_what_of_a_json_body_is_known(body: bytes, wanted: bool, limit: int, found: object) -> None:
    result = _read_json(body, "QueryArea", NAMES if wanted else None, depth=9, limit=limit)
    if isinstance(found, int):  # so many elements, or letters
        assert isinstance(result, dict)
        assert len(result["A"]) == found
    else:
        assert result == (rejection(found) if isinstance(found, str) else found)


def test_a_post_has_a_content_type_and_a_get_need_not_have_one() -> None:
    lines = sdk(FROM_OFFICE, without=[b"content-type"])
    assert reply_to(lines=lines).detail == "content_type"
    assert reply_to(lines=lines, method="GET", chunks=(b"",)).detail == "allowed"


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


# parts, whether parameters are wanted, what is found or the detail of the refusal
FOUND = [
    pytest.param([(b"A", b"b")], False, None, id="nothing wanted"),
    pytest.param([(b"A", b"b"), (b"C", b"")], True, {"A": "b", "C": ""}, id="two texts"),
    pytest.param([(b"A", b"[1, 2]")], True, {"A": [Number("1"), Number("2")]}, id="a list"),
    pytest.param([(b"A", b' \t\r\n{"b": "c"}')], True, {"A": {"b": "c"}}, id="an object behind blanks"),
    pytest.param([(b"A", b"x[1]")], True, {"A": "x[1]"}, id="a text that is no list"),
    pytest.param([(b"A", b"\xff")], True, {"A": ""}, id="no text"),
    pytest.param([(b"A", b"[1")], True, None, id="a list that does not end"),
    pytest.param([(b"A", b"1"), (b"A", b"1")], True, None, id="a name twice"),
    pytest.param([(b"A", b"1"), (b"A", b"1")], False, None, id="a name twice, nothing wanted"),
    pytest.param([(b"A", b"[" + b"1," * 267 + b"1]")], True, 268, id="thirty values for each field"),
    pytest.param([(b"A", b"[" + b"1," * 300 + b"1]")], True, None, id="more values than that"),
    pytest.param(
        [(b"B", b"[" + b"1," * 140 + b"1]"), (b"A", b"[" + b"1," * 140 + b"1]")],
        True,
        None,
        id="more values than that in two fields together",
    ),
    pytest.param(
        [(b"B", b'["' + b"X" * 280 + b'"]'), (b"A", b"[1]")],
        True,
        {"B": ["X" * 280], "A": [Number("1")]},
        id="a long text is one value",
    ),
    pytest.param(
        [(b"B", b"[" + b"1," * 269 + b"1]"), (b"A", b"[]")],
        True,
        None,
        id="no value is left for a second list",
    ),
    pytest.param(
        [(b"B", b'["' + b"," * 280 + b'"]'), (b"A", b"[]")], True, None, id="nor behind a text of commas"
    ),
    pytest.param(
        [(b"B", b"[" + b"{}," * 134 + b"{}]"), (b"A", b"[]")], True, None, id="nor behind a list of objects"
    ),
    pytest.param(
        [(b"Action", b"QueryArea"), (b"A", b"b")],
        True,
        {"Action": "QueryArea", "A": "b"},
        id="the same action",
    ),
    pytest.param([(b"A", b"b"), (b"Action", b"X")], False, "action_conflict", id="another action"),
    pytest.param([(b"region", b"X")], False, "param_ambiguous", id="a twin of the region"),
]


@pytest.mark.parametrize(("parts", "wanted", "found"), FOUND)
def test_what_of_a_multipart_body_is_known(
    parts: list[tuple[bytes, bytes]], wanted: bool, found: object
) -> None:
    body = b"".join(part(name, value) for name, value in parts) + END
    result = _read_multipart(body, b"b0undary", "QueryArea", NAMES if wanted else None, limit=9, region=None)
    if isinstance(found, int):  # so many elements
        assert isinstance(result, dict)
        assert len(result["A"]) == found
    else:
        assert result == (rejection(found) if isinstance(found, str) else found)


def test_a_file_is_no_text_and_no_action() -> None:
    file = part(b"A", b"[1]", b'Content-Disposition: form-data; name="%s"; filename=x')
    found = _read_multipart(file + END, b"b0undary", "QueryArea", NAMES, limit=9, region=None)
    assert found == {"A": None}
    action = part(b"Action", b"QueryArea", b'Content-Disposition: form-data; name="%s"; filename=x')
    found = _read_multipart(action + END, b"b0undary", "QueryArea", NAMES, limit=9, region=None)
    assert found is rejection("action_conflict")
    assert _read_multipart(b"", b"b0undary", "QueryArea", NAMES, limit=9, region=None) is None


@pytest.mark.parametrize(("more", "found"), [(0, True), (1, False)], ids=["as much", "a byte more in both"])
def test_the_parts_that_hold_json_cost_as_much_as_one_document_may(more: int, found: bool) -> None:
    """Each part costs its length, and the search for parts costs the length of them all (T62)."""
    value = b'["' + b"x" * (MOST_PARSE_COST // 4 - 4 + more) + b'"]'
    body = part(b"A", value) + part(b"B", value) + END
    assert (_read_multipart(body, b"b0undary", "QueryArea", NAMES, limit=9, region=None) is not None) is found


# JSON body, the call's region, what is found or the detail of the refusal (DEC-64)
REGIONS: list[Any] = [
    pytest.param(
        b'{"Region": "ap-guangzhou"}', "ap-guangzhou", {"Region": "ap-guangzhou"}, id="DEC-64 the same"
    ),
    pytest.param(b'{"Region": "ap-beijing"}', "ap-guangzhou", "region_invalid", id="DEC-64 another region"),
    pytest.param(b'{"Region": null}', "ap-guangzhou", "region_invalid", id="DEC-64 null"),
    pytest.param(b'{"A": "b"}', "ap-guangzhou", {"A": "b"}, id="DEC-64 no region in the body"),
    pytest.param(
        b'{"Region": "ap-beijing"}', None, {"Region": "ap-beijing"}, id="DEC-64 a call without a region"
    ),
    pytest.param(b'["Region"]', "ap-guangzhou", None, id="DEC-64 a list has no members"),
]

PART_REGIONS: list[Any] = [
    pytest.param([b"ap-guangzhou"], "ap-guangzhou", True, id="DEC-64 the same"),
    pytest.param([b"ap-beijing"], "ap-guangzhou", False, id="DEC-64 another region"),
    pytest.param([b"ap-beijing"], None, True, id="DEC-64 a call without a region"),
    pytest.param([], "ap-guangzhou", True, id="DEC-64 no region in the body"),
]


@pytest.mark.parametrize(("body", "region", "found"), REGIONS)
def test_the_region_of_a_json_body_does_not_contradict_that_of_the_call(
    body: bytes, region: str | None, found: Parameters | str | None
) -> None:
    read = partial(read_body, BodyFormat("json"), body, "QueryArea", NAMES, depth=9, limit=9)
    result = read() if region is None else read(region=region)
    assert result == (rejection(found) if isinstance(found, str) else found)


@pytest.mark.parametrize(("regions", "region", "passes"), PART_REGIONS)
def test_the_region_of_a_multipart_body_does_not_contradict_that_of_the_call(
    regions: list[bytes], region: str | None, passes: bool
) -> None:
    fields = [(b"A", b"b"), *((b"Region", each) for each in regions), (b"C", b"d")]
    body = b"".join(part(name, value) for name, value in fields) + END
    read = partial(
        read_body, BodyFormat("multipart", b"b0undary"), body, "QueryArea", NAMES, depth=9, limit=9
    )
    found = {name.decode(): value.decode() for name, value in fields}
    assert (read() if region is None else read(region=region)) == (
        found if passes else rejection("region_invalid")
    )


@pytest.mark.parametrize("kind", ["form", "octets"])
def test_a_body_of_these_formats_is_not_read(kind: Kind) -> None:
    body = b'{"Action": "X"}'
    assert read_body(BodyFormat(kind), body, "QueryArea", NAMES, depth=9, limit=9, region="ap-x") is None


# JSON text, whether it may hold a name that decides
SEARCHED = [
    pytest.param(b"", False, id="nothing"),
    pytest.param(b'{"Option": 1}', False, id="the ending of these names alone"),
    pytest.param(b'{"Actio": 1, "Reg": 1}', False, id="the beginnings of these names"),
    pytest.param(b"Action", True, id="a name at the start of the text"),
    pytest.param(b'{"A": "\\n"}', False, id="an escape that stands for no letter of a name"),
    pytest.param(b'{"\\u0041": 1}', True, id="an escape that may stand for a letter"),
    *(
        pytest.param(b"[" + b"ion " * 256 + b"ion" * more + name + b"]", bool(name),
                     id=f"{name.decode() or 'no name'} behind {256 + more} endings")
        for name in (b"", b"Action", b"vErsion", b"regioN")
        for more in (0, 1, 2)
    ),
    pytest.param(b"[" + b"ion " * 256 + b"]", False, id="as many endings as are looked at one by one"),
    *(
        pytest.param(b" " * at + name + b" " * (1 << 18), True, id=f"{name.decode()} at {at}")
        for name in (b"action", b"version", b"region")
        for at in ((1 << 18) - 7, (1 << 18) - 6, (1 << 18) - 1, 1 << 18)
    ),
    pytest.param(b" " * (1 << 19) + b"action", True, id="a name in the last of three slices"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "holds"), SEARCHED)
def test_which_texts_are_parsed_because_of_a_name_that_they_may_hold(text: bytes, holds: bool) -> None:
    """THREATS 3.2.7."""
    assert bool(_may_decide(text)) is holds


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


@pytest.mark.parametrize(
    ("text", "holds"),
    [(b"action", True), (b"  action", True), (b"region ", True), (b"ion ion version", True), (b"ion", False)],
)
def test_behind_the_endings_that_are_looked_at_every_name_is_searched_for(
    text: bytes, *, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_formats, "_MOST_ENDINGS", 0)
    assert _may_decide(text) is holds


def test_t64_reading_stays_linear() -> None:
    began = time.process_time()
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
        region=None,
    )
    assert time.process_time() - began < 3


def test_depth_and_count_are_settings() -> None:
    body = b'{"Action": "QueryArea", "A": [[[1]]]}'
    assert reply_to(limits(json_depth=3), lines=sdk(FROM_OFFICE), chunks=(body,)).detail == "body_malformed"
    assert reply_to(limits(json_depth=4), lines=sdk(FROM_OFFICE), chunks=(body,)).detail == "allowed"


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
    _read_multipart(b"--b\r\n" + body + b"\r\n--b--", b"b", "A", NAMES, limit=10, region=None)
    _read_multipart(body, b"b", "A", NAMES, limit=10, region=None)
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
    reply = Play(authentication=FixedCaller("uin/100000000103")).reply_to(lines=lines, chunks=(body,))
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


def test_resources_come_from_query_form_and_parts_too() -> None:
    base: dict[str, Any] = {
        "host": b"cvm.tencentcloudapi.com",
        "x_tc_action": b"StopInstances",
        "x_tc_region": b"ap-guangzhou",
    }
    play = Play(authentication=FixedCaller("uin/100000000103"))
    form = b"application/x-www-form-urlencoded"
    assert play.reply_to(
        lines=sdk(FROM_OFFICE, **base), method="GET", query=b"InstanceIds.0=ins-1", chunks=(b"",)
    ).passed
    assert play.reply_to(
        lines=sdk(FROM_OFFICE, **base, content_type=form), chunks=(b"InstanceIds.0=ins-1",)
    ).passed
    assert play.reply_to(
        lines=sdk(FROM_OFFICE, **base, content_type=MULTIPART), chunks=(part(b"InstanceIds", b"ins-1") + END,)
    ).passed
    denied = play.reply_to(
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
    reply = Play(authentication=FixedCaller("uin/100000000103")).reply_to(lines=lines, chunks=(body,))
    assert reply.detail == detail


def test_parts_with_dots_are_nested_as_a_form_s_are() -> None:
    play = Play(authentication=FixedCaller("uin/100000000103"))
    first, second = part(b"InstanceIds.0", b"ins-1"), part(b"InstanceIds.1", b"ins-2")
    whole = part(b"InstanceIds", b"ins-1")
    lines = stop(content_type=MULTIPART)
    assert play.reply_to(lines=lines, chunks=(first + END,)).detail == "allowed"
    assert play.reply_to(lines=lines, chunks=(first + second + END,)).detail == "no_allow"
    for body in (whole + second, whole + part(b"InstanceIds[0]", b"ins-2")):
        assert play.reply_to(lines=lines, chunks=(body + END,)).detail == "param_ambiguous"


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
    play = Play(authentication=FixedCaller("uin/100000000103"))
    assert play.reply_to(lines=stop(content_type=kind), query=query, chunks=(body,)).detail == detail
