"""Resource patterns and their variables: how each is read, and which resources allow and deny match."""

from __future__ import annotations

import pytest

from camguard.policy.model import ActionPattern, Effect, ResourcePattern
from camguard.policy.resources import REGION_ALIASES, Owner, Resource, read_resource, resource_match
from camguard.policy.values import Truth

ALLOW, DENY = Effect.ALLOW, Effect.DENY
SIX = "is neither '*' nor six segments qcs:project:service:region:account:resource"
NOWHERE = "contains a variable where variables are not allowed"


RESOURCES = [
    pytest.param("qcs::cvm:gz:uin/1:a/b", ("cvm", "gz", "uin/1", "a/b"), id="six segments"),
    pytest.param("qcs:::::*", ("", "", "", "*"), id="nothing but the last"),
    pytest.param("qcs::cos:::a:b:c", ("cos", "", "", "a:b:c"), id="DEC-12 later colons belong to the last"),
    pytest.param("qcs:0:cvm:::a", ("cvm", "", "", "a"), id="DEC-13 project 0"),
    pytest.param("qcs:id/0:cvm:::a", ("cvm", "", "", "a"), id="DEC-13 project id/0"),
    pytest.param("qcs::cvm:::a/${uin}", ("cvm", "", "", ("a/", "uin", "")), id="a variable"),
    pytest.param("qcs::cvm:::$uin{}", ("cvm", "", "", "$uin{}"), id="what is no variable"),
    pytest.param("qcs::cvm::a", ("ResourceQcsError", SIX), id="five segments"),
    pytest.param("QCS::cvm:::a", ("ResourceQcsError", SIX), id="another first segment"),
    pytest.param("", ("ResourceQcsError", SIX), id="no text"),
    pytest.param("qcs::cvm:::", ("ResourceQcsError", "has an empty last segment"), id="no last segment"),
    pytest.param("qcs:id/1:cvm:::a", ("ResourceProjectError",
                 "has 'id/1' as its project segment; leave that segment empty"), id="DEC-13 another project"),
    pytest.param("qcs:${uin}:cvm:::a", ("ResourceContentError", NOWHERE), id="a variable for the project"),
    pytest.param("qcs::${uin}:::a", ("ResourceContentError", NOWHERE), id="a variable for the service"),
    pytest.param("qcs::cvm:${uin}::a", ("ResourceContentError", NOWHERE), id="a variable for the region"),
    pytest.param("qcs::cvm::uin/${uin}:a", ("ResourceContentError", NOWHERE),
                 id="a variable for the account"),
    pytest.param("qcs::cos:::${uin}/a", ("ResourceContentError", NOWHERE),
                 id="a variable of an object's path"),
    pytest.param("qcs::cvm:::${me}", ("ResourceContentError", "contains a variable that does not exist"),
                 id="a variable that does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RESOURCES)
def test_a_resource_is_read(text: str, expected: tuple[str, ...]) -> None:
    found = read_resource(text)
    assert found == (expected if len(expected) == 2 else ResourcePattern(text, *expected))
    assert isinstance(found, tuple) or not found.where


def test_a_pattern_that_stands_in_no_document_has_no_place() -> None:
    assert not ActionPattern("cvm:Reboot", "cvm", "Reboot").where
    assert not ResourcePattern("qcs::cvm:::a", "cvm", "", "", "a").where


OWNER = Owner("100", "125")


REBOOT = "qcs::cvm:ap-guangzhou:uin/100:instance/ins-1"


BOUND = {"uin": "101", "owner_uin": "100"}


# pattern, resource of the call, and what an allow and a deny say
RESOURCE_TRUTHS = [
    pytest.param(REBOOT, REBOOT, True, True, id="the same text"),
    pytest.param("qcs::::::", "qcs::a:b:::", True, True, id="colons in the last segment"),
    pytest.param("qcs:::::*", REBOOT, True, True, id="everything"),
    pytest.param("qcs::*:*:*:*", REBOOT, True, True, id="stars for everything"),
    pytest.param("qcs:0:cvm:::*", "qcs:id/7:cvm:gz::a", True, True, id="a call's project is not looked at"),
    pytest.param("qcs::vpc:::*", REBOOT, False, False, id="another service"),
    pytest.param("qcs::c*:::*", REBOOT, False, None, id="DEC-60 a star in the service may be one for a deny"),
    pytest.param("qcs::Cvm:::*", REBOOT, False, None, id="DEC-60 a service in capitals"),
    pytest.param("qcs::Vpc:::*", REBOOT, False, False, id="DEC-60 another service in capitals"),
    pytest.param("qcs::cvm:GZ::*", REBOOT, False, None, id="DEC-60 an old code in capitals"),
    pytest.param("qcs::cvm:AP-*::*", REBOOT, False, None, id="DEC-60 a region with a star in capitals"),
    pytest.param("qcs::cvm:NA-*::*", REBOOT, False, False, id="DEC-60 another region in capitals"),
    pytest.param("qcs::cvm::$account:*", REBOOT, False, None, id="DEC-59 an account that is a placeholder"),
    pytest.param("qcs::vpc::$account:*", REBOOT, False, False, id="DEC-59 the same of another service"),
    pytest.param("qcs::cvm:gz::*", REBOOT, True, True, id="DEC-16 an old code for the region"),
    pytest.param("qcs::cvm:ap-*::*", REBOOT, True, True, id="a star in the region"),
    pytest.param("qcs::cvm:ap-guangzhou::*", "qcs::cvm:gz::a", True, True,
                 id="DEC-16 an old code in the call"),
    pytest.param("qcs::cvm:sh::*", REBOOT, False, False, id="another region"),
    pytest.param("qcs::cvm:gz::*", "qcs::cvm:::a", False, None, id="no region in the call"),
    pytest.param("qcs::cvm:*::*", "qcs::cvm:::a", True, True,
                 id="a star for the region and none in the call"),
    pytest.param("qcs::cvm:::*", "qcs::cvm:::a", True, True, id="no region on either side"),
    pytest.param("qcs::cvm::uin/100:*", "qcs::cvm:::a", True, True, id="DEC-14 the call's account left out"),
    pytest.param("qcs::cvm::uid/125:*", REBOOT, True, True, id="DEC-14 the APPID"),
    pytest.param("qcs::cvm::uin/:*", REBOOT, True, True, id="DEC-14 uin/ with nothing"),
    pytest.param("qcs::cvm::uin/*:*", REBOOT, True, True, id="DEC-14 uin/ with a star"),
    pytest.param("qcs::cvm::*:*", "qcs::cvm::uin/9:a", False, False, id="DEC-14 a star is the own account"),
    pytest.param("qcs::cvm::uin/9:*", "qcs::cvm::uin/9:a", True, True, id="an account by its number"),
    pytest.param("qcs::cvm::uid/126:*", REBOOT, False, False, id="another APPID"),
    pytest.param("qcs::cvm:::instance/*", REBOOT, True, True, id="a star at the end"),
    pytest.param("qcs::cvm:::*/ins-1", REBOOT, True, True, id="a star at the start"),
    pytest.param("qcs::cvm:::a/*", "qcs::cvm:::a/b/c", True, True, id="a star crosses slashes"),
    pytest.param("qcs::cvm:::a/b", "qcs::cvm:::a/*", False, False, id="CAM 5.3 a star of the call is none"),
    pytest.param("qcs::cvm:::a/*", "qcs::cvm:::a", False, None, id="DEC-15 X/* against X"),
    pytest.param("qcs::cvm:::a/*", "qcs::cvm:::b", False, False, id="DEC-15 X/* against Y"),
    pytest.param("qcs::cvm:::a/*", "qcs::cvm:::ab", False, False, id="DEC-15 X/* against what begins so"),
    pytest.param("qcs::cvm:::a*c/*", "qcs::cvm:::abc", False, None, id="DEC-15 X/* with a star in X"),
    pytest.param("qcs::cvm:::a*c/*", "qcs::cvm:::abd", False, False, id="DEC-15 X/* with a star, against Y"),
    pytest.param("qcs::cvm:::ab*", "qcs::cvm:::a", False, False, id="a star, without the letter before it"),
    pytest.param("qcs::cvm:::a/*b", "qcs::cvm:::a", False, False, id="a star within, and the bare beginning"),
    pytest.param("qcs::cvm:::a*", "qcs::cvm:::b", False, False, id="a star without a slash before it"),
    pytest.param("qcs::cvm:::a/", "qcs::cvm:::a/", True, True, id="DEC-15 a slash at the end, the same"),
    pytest.param("qcs::cvm:::a/", "qcs::cvm:::a/b", False, None, id="DEC-15 a slash at the end, as a prefix"),
    pytest.param("qcs::cvm:::a/", "qcs::cvm:::b/a/", False, False, id="DEC-15 a slash at the end, no prefix"),
    pytest.param("qcs::cvm:::*b/", "qcs::cvm:::ab/c", False, None, id="DEC-15 a star and a slash at the end"),
    pytest.param("qcs::cvm:::a", "qcs::cvm:::a/", False, False, id="a slash more in the call"),
    pytest.param("qcs::cvm:::a?", "qcs::cvm:::ab", False, False, id="DEC-6 a question mark is itself"),
    pytest.param("qcs::cvm:::u-${uin}", "qcs::cvm:::u-101", True, True, id="a variable"),
    pytest.param("qcs::cvm:::${uin}/*", "qcs::cvm:::101", False, None, id="DEC-15 with a variable"),
    pytest.param("qcs::cvm:::${uin}*", "qcs::cvm:::101-a", True, True, id="a variable before a star"),
    pytest.param("qcs::cvm:::*${uin}", "qcs::cvm:::a-101", True, True, id="a variable behind a star"),
    pytest.param("qcs::cvm:::*/${uin}/*-${owner_uin}-*x*", "qcs::cvm:::a/101/b-100-cxd", True, True,
                 id="variables between stars"),
    pytest.param("qcs::cvm:::${app_id}", REBOOT, None, None, id="DEC-34 a variable without a value"),
    pytest.param("qcs::vpc:::${app_id}", REBOOT, None, None, id="DEC-34 before anything else is compared"),
    pytest.param("qcs:::::*", "*", False, None, id="a call's resource that is no six segments"),
    pytest.param("qcs:::::*", "QCS::cvm:::a", False, None, id="a call's resource that begins otherwise"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "resource", "allow", "deny"), RESOURCE_TRUTHS)
def test_a_resource_is_matched(text: str, resource: str, allow: Truth, deny: Truth) -> None:
    pattern = read_resource(text)
    assert isinstance(pattern, ResourcePattern)
    place = Resource.of(resource)
    found = [resource_match(pattern, effect, place, OWNER, BOUND) for effect in (ALLOW, DENY)]
    assert found == [allow, deny]


def test_the_old_region_codes() -> None:
    assert dict(REGION_ALIASES) == {
        "gz": "ap-guangzhou", "sh": "ap-shanghai", "shjr": "ap-shanghai-fsi", "bj": "ap-beijing",
        "cd": "ap-chengdu", "hk": "ap-hongkong", "sg": "ap-singapore", "ca": "na-toronto",
        "de": "eu-frankfurt",
    }  # fmt: skip


# an account segment, and its canonical spelling
ACCOUNTS = [
    *(pytest.param(text, "uin/100", id=f"DEC-14 the own account as {text!r}")
      for text in ("", "*", "uin/", "uin/*", "uid/", "uid/*", "uin/100", "uid/125", "100")),
    pytest.param("9", "uin/9", id="DEC-59 digits alone"),
    pytest.param("uin/9", "uin/9", id="another uin"),
    pytest.param("uid/9", "uid/9", id="another APPID"),
    pytest.param("125", None, id="DEC-59 the own APPID without uid/"),
    pytest.param("9x", None, id="DEC-59 more than digits"),
    pytest.param("uin/9x", None, id="DEC-59 more than a uin"),
    pytest.param("UIN/9", None, id="DEC-59 another letter case"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "canonical"), ACCOUNTS)
def test_the_canonical_spelling_of_an_account(text: str, canonical: str | None) -> None:
    assert Owner("100", "125").account(text) == canonical
