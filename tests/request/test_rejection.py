"""Refusals as the vendor's SDKs read them: rows T67, T113, T119 (DEC-53, THREATS 4)."""

from __future__ import annotations

import json

import pytest

from camguard.engine.decision import Decision, Reason
from camguard.header_names import REQUEST_ID
from camguard.request.rejection import (
    AFTER_ALLOW,
    BODY_NOT_SHOWN,
    CAUSES,
    REJECTIONS,
    Rejection,
    cause_of,
    refusal,
    refusal_template,
    rejection,
)

ID = "9f1c2c1e-6d0b-4b57-9f39-3a6d5d1f6a10"
DENIED = Decision(Reason.NO_ALLOW)
POLICY = (
    Reason.EXPLICIT_DENY,
    Reason.UNDETERMINED_DENY,
    Reason.NO_ALLOW,
    Reason.LAYER_LIMIT,
    Reason.PRINCIPAL_UNKNOWN,
)
# detail, status, Error.Code (THREATS 4)
TABLE = """
client_ip_invalid 403 AuthFailure.UnauthorizedOperation
principal_missing 401 AuthFailure.InvalidAuthorization
auth_malformed 403 AuthFailure.InvalidAuthorization
principal_conflict 403 AuthFailure.InvalidAuthorization
front_untrusted 403 AuthFailure.InvalidAuthorization
identity_header_untrusted 403 AuthFailure.InvalidAuthorization
identity_header_invalid 403 AuthFailure.InvalidAuthorization
attributes_header_untrusted 403 AuthFailure.InvalidAuthorization
attributes_header_invalid 403 AuthFailure.InvalidAuthorization
unsigned_payload 403 AuthFailure.InvalidAuthorization
secret_id_unknown 403 AuthFailure.SecretIdNotFound
signature_invalid 403 AuthFailure.SignatureFailure
signature_replay 403 AuthFailure.SignatureFailure
signature_v1_ambiguous 403 AuthFailure.SignatureFailure
signature_expired 403 AuthFailure.SignatureExpire
action_missing 400 MissingParameter
action_conflict 400 InvalidParameter
action_duplicate 400 InvalidParameter
action_alias 400 InvalidParameter
action_invalid 400 InvalidParameter
query_malformed 400 InvalidParameter
body_malformed 400 InvalidParameter
region_invalid 400 InvalidParameter
version_invalid 400 InvalidParameter
service_conflict 400 InvalidParameter
param_ambiguous 400 InvalidParameter
too_many_params 400 InvalidParameter
action_unknown 403 InvalidAction
service_unknown 403 NoSuchProduct
host_missing 400 InvalidRequest
host_invalid 400 InvalidRequest
header_duplicate 400 InvalidRequest
header_alias 400 InvalidRequest
header_malformed 400 InvalidRequest
header_hop_by_hop 400 InvalidRequest
forwarded_too_long 400 InvalidRequest
framing 400 InvalidRequest
body_on_get 400 InvalidRequest
front_header_invalid 400 InvalidRequest
upgrade_refused 400 InvalidRequest
websocket_refused 400 InvalidRequest
method_not_allowed 405 UnsupportedProtocol
path_not_allowed 404 UnsupportedProtocol
body_not_shown 403 UnsupportedProtocol
content_type 415 UnsupportedProtocol
content_encoding 415 UnsupportedProtocol
expectation_failed 417 UnsupportedProtocol
headers_too_large 431 RequestSizeLimitExceeded
query_too_large 414 RequestSizeLimitExceeded
body_too_large 413 RequestSizeLimitExceeded
request_timeout 408 InvalidRequest
overloaded 503 RequestLimitExceeded
policy_unavailable 503 ServiceUnavailable
internal_error 500 InternalError
upstream_error 502 InternalError
upstream_timeout 504 InternalError
version_unknown 400 NoSuchVersion
signature_v1_disabled 403 AuthFailure.InvalidAuthorization
body_unavailable 403 AuthFailure.SignatureFailure
key_expired 403 AuthFailure.TokenFailure
token_invalid 403 AuthFailure.TokenFailure
trailers_possible 411 UnsupportedProtocol
"""
ROWS = [line.split() for line in TABLE.split("\n") if line]


@pytest.mark.parametrize(("detail", "status", "code"), ROWS, ids=[row[0] for row in ROWS])
def test_every_detail_has_its_status_and_code(detail: str, status: str, code: str) -> None:
    http = refusal(rejection(detail), ID, style="http")
    assert http.status == int(status)
    assert json.loads(http.body)["Response"]["Error"]["Code"] == code
    assert dict(http.headers).get(b"retry-after") == (b"1" if http.status == 503 else None)


def test_no_detail_is_forgotten() -> None:
    assert {row[0] for row in ROWS} == REJECTIONS.keys()


def test_a_cause_is_the_detail_of_a_denial_or_else_its_reason() -> None:
    assert cause_of(DENIED) == "no_allow"
    assert cause_of(rejection("action_alias")) == "action_alias"
    causes = {row[0] for row in ROWS} - {"upstream_error", "upstream_timeout"} | {*POLICY}
    assert list(CAUSES) == sorted(causes)
    assert {"upstream_error", "upstream_timeout"} == AFTER_ALLOW


@pytest.mark.parametrize("discloses", [False, True])
def test_each_part_of_a_body_that_is_not_shown_has_its_message(discloses: bool) -> None:
    """T141: the answer names the part that is missing, under one detail."""
    bodies = {part: refusal(each, ID, discloses=discloses).body for part, each in BODY_NOT_SHOWN.items()}
    assert len({*bodies.values()}) == len(BODY_NOT_SHOWN) == 4
    assert {cause_of(each) for each in BODY_NOT_SHOWN.values()} == {"body_not_shown"}
    assert b"the signature" in bodies["signature"]
    assert b"resources" in bodies["resources"]
    assert b"the action" in bodies["action"]
    assert b"tags" in bodies["tags"]


@pytest.mark.parametrize("detail", REJECTIONS)
def test_every_answer_in_the_sdks_style_is_200_and_is_plain(detail: str) -> None:
    """DEC-53, in the envelope of CAM 14.5."""
    answer = refusal(rejection(detail), ID)
    assert answer.status == 200
    headers = dict(answer.headers)
    assert headers.keys() <= {b"content-type", b"content-length", b"connection"}
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    response = json.loads(answer.body)["Response"]
    assert response["RequestId"] == ID
    assert response.keys() == {"Error", "RequestId"}
    assert response["Error"].keys() == {"Code", "Message"}
    assert detail not in response["Error"]["Message"]
    assert not rejection(detail), "a request that was rejected may not pass"
    assert (rejection(detail).statements, rejection(detail).layer) == ((), None), "no policy was asked"


def test_a_denial_of_aiart_has_the_second_form() -> None:
    """CAM 15.2: the code of the service's own error list decides (DEC-52)."""
    error = json.loads(refusal(DENIED, ID, action="aiart:TextToImage").body)["Response"]["Error"]
    assert error == {
        "Code": "AuthFailure.UnauthorizedOperation",
        "Message": "You are not authorized to perform this operation. Check your CAM policies, and ensure "
        f"that you are using the correct access keys. [[request id:{ID}]you are not authorized to perform "
        "operation (aiart:TextToImage)\nresource (*) has no permission\n]",
    }


def test_a_denial_of_any_other_service_has_the_first() -> None:
    """CAM 15.2, DEC-52."""
    error = json.loads(refusal(DENIED, ID, action="intlpartnersmgt:QueryArea").body)["Response"]["Error"]
    assert error == {
        "Code": "UnauthorizedOperation",
        "Message": f"[request id:{ID}]you are not authorized to perform operation "
        "(intlpartnersmgt:QueryArea)\nresource (*) has no permission\n",
    }


@pytest.mark.parametrize("resource", ['"},"x":"', "%s%d%", "\u2028\x00\r\n", "x" * 10_000, None])
def test_a_resource_is_text_whatever_it_holds(resource: str | None) -> None:
    answer = refusal(DENIED, ID, action="cvm:StopInstances", resource=resource)
    response = json.loads(answer.body)["Response"]
    assert response["RequestId"] == ID
    assert f"resource ({(resource or '*')[:256]}) has" in response["Error"]["Message"]
    assert dict(answer.headers)[b"content-length"] == b"%d" % len(answer.body)
    assert answer.body.isascii()


@pytest.mark.parametrize("reason", POLICY)
def test_t119_all_denials_read_the_same(reason: Reason) -> None:
    decision = Decision(reason, ("secret-policy#3",), "boundary")
    assert refusal(decision, ID, action="a:B") == refusal(DENIED, ID, action="a:B")
    assert refusal(decision, ID, action="a:B", style="http").status == 403


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.ALLOWED])
def test_every_reason_has_an_answer_without_a_detail(reason: Reason) -> None:
    assert json.loads(refusal(Decision(reason), ID, action="a:B").body)["Response"]["Error"]["Code"]
    assert json.loads(refusal(Decision(reason), ID).body)["Response"]["Error"]["Code"]


def test_what_cannot_be_read_further_ends_the_connection() -> None:
    """The next bytes of such a connection are not trusted, not wanted, or too much for a busy process."""
    close = {
        detail for detail in REJECTIONS if (b"connection", b"close") in refusal(rejection(detail), ID).headers
    }
    assert close == {
        *("header_malformed", "framing", "body_on_get", "headers_too_large", "body_too_large"),
        *("trailers_possible", "expectation_failed", "upgrade_refused", "websocket_refused"),
        *("request_timeout", "overloaded", "internal_error"),
    }
    assert (b"connection", b"close") not in refusal(DENIED, ID, action="a:B").headers


@pytest.mark.parametrize("detail", ["framing", "action_alias"], ids=["ends anyway", "goes on else"])
def test_an_answer_may_end_its_connection_whatever_its_cause(detail: str) -> None:
    template = refusal_template(rejection(detail))
    plain, closing = template.of(ID), template.closing().of(ID)
    assert (closing.status, closing.body) == (plain.status, plain.body)
    assert closing.headers == (*plain.headers[:2], (b"connection", b"close"))


# cause, action, what the message ends with where the cause is disclosed
DISCLOSED = [
    pytest.param(DENIED, "a:B", " [no_allow]", id="a denial names its reason"),
    pytest.param(rejection("action_alias"), None, " [action_alias]", id="a rejection names its detail"),
    pytest.param(BODY_NOT_SHOWN["tags"], None, " [body_not_shown]", id="a body that is not shown"),
    pytest.param(DENIED, None, " [internal_error]", id="a denial without an action, which cannot be"),
]


@pytest.mark.parametrize(("cause", "action", "end"), DISCLOSED)
def test_t138_a_message_ends_with_the_cause_only_where_it_is_disclosed(
    cause: Decision | Rejection, action: str | None, end: str
) -> None:
    def message(discloses: bool) -> str:
        body = refusal(cause, ID, action=action, discloses=discloses).body
        return str(json.loads(body)["Response"]["Error"]["Message"])

    assert message(True) == message(False) + end


def test_t138_an_answer_names_its_request_in_a_header_only_where_it_may() -> None:
    plain = refusal(DENIED, ID, action="a:B")
    named = refusal(DENIED, ID, action="a:B", names_request=True)
    assert named.headers == (*plain.headers, (REQUEST_ID, ID.encode()))
    assert (named.status, named.body) == (plain.status, plain.body)
    assert REQUEST_ID not in dict(plain.headers)


def test_the_template_of_an_answer_is_the_answer_but_for_its_request_id() -> None:
    assert refusal_template(DENIED, action="a:B").of(ID) == refusal(DENIED, ID, action="a:B")
    assert refusal_template(DENIED).of(ID) == refusal(DENIED, ID)
    framing = rejection("framing")
    assert refusal_template(framing).of(ID) == refusal(framing, ID)
    assert refusal(framing, ID).body == (
        b'{"Response":{"Error":{"Code":"InvalidRequest","Message":"The request is not well formed."},'
        b'"RequestId":"%s"}}' % ID.encode()
    )
