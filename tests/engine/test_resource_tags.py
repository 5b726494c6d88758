"""The inventory of resource tags, and calls that are judged by it (DEC-66)."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from camguard.bundle import load_bundle, make_bundle
from camguard.catalog.files import save_all
from camguard.catalog.model import Catalog
from camguard.engine.call import Call
from camguard.engine.resource_tags import Inventory, read_inventory
from camguard.engine.row import MOST_TAG_WORK
from camguard.errors import BundleError
from camguard.policy.document import parse_policy
from camguard.policy.resources import Owner
from tests import company
from tests.company import USER, action, allow, catalog, deny, service

OWNER = Owner(company.OWNER["uin"], company.OWNER["app_id"])
ONE = "qcs::vm:ap-guangzhou:uin/100100:instance/ins-1"
TWO = "qcs::vm:ap-guangzhou:uin/100100:instance/ins-2"
INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
CATALOG = catalog(service("vm", action("vm:Reboot", INSTANCE), "List", tag_authorization=True))
RD = {"string_equal": {"qcs:resource_tag/dept": "rd"}}


def listed(tree: Any) -> Inventory:
    found = read_inventory(tree, "resource_tags.json", OWNER)
    assert isinstance(found, Inventory), found
    return found


# a key of the inventory, a resource of a call that is the same one
SAME = [
    pytest.param("qcs::vm:gz::instance/ins-1", ONE, id="DEC-66 the account left out, an old region code"),
    pytest.param("qcs::vm:ap-guangzhou:uin/:instance/ins-1", ONE, id="DEC-66 an empty uin"),
    pytest.param("qcs::vm:ap-guangzhou:uid/125:instance/ins-1", ONE, id="DEC-66 the APPID"),
    pytest.param("qcs:id/7:vm:ap-guangzhou:uin/100100:instance/ins-1", ONE, id="DEC-66 a project"),
    pytest.param(ONE, "qcs:0:vm:gz:uid/125:instance/ins-1", id="DEC-66 the call spells it otherwise"),
    pytest.param("qcs::vm:::a:b:c", "qcs::vm::uin/100100:a:b:c", id="DEC-66 colons in the last segment"),
    pytest.param("qcs:id/12:vm:::i", "qcs::vm:::i", id="DEC-66 a project of two digits"),
    pytest.param("qcs:12:vm:::i", "qcs::vm:::i", id="DEC-66 a project of digits alone"),
    pytest.param("qcs::a-z059:a-z059::i", "qcs::a-z059:a-z059:uin/100100:i", id="DEC-66 all signs"),
    pytest.param(f"qcs::{'s' * 63}:{'r' * 63}::i", f"qcs::{'s' * 63}:{'r' * 63}::i", id="DEC-66 long"),
]


@pytest.mark.parametrize(("key", "resource"), SAME)
def test_one_resource_in_several_spellings(key: str, resource: str) -> None:
    assert listed({key: {"dept": "rd"}}).tags_of(resource) == {"dept": "rd"}


# a key of the inventory, a resource of a call that has the same letters and is another one
ANOTHER = [
    pytest.param("qcs::ab:::i", "qcs::a:b::i", id="DEC-66 the end of a service, the begin of a region"),
    pytest.param("qcs::vm::uin/10010:0i", "qcs::vm::uin/100100:i", id="DEC-66 the end of an account"),
]


@pytest.mark.parametrize(("key", "resource"), ANOTHER)
def test_the_segments_of_resources_are_told_apart(key: str, resource: str) -> None:
    assert listed({key: {"dept": "rd"}}).tags_of(resource) is None


@pytest.mark.parametrize(
    "resource",
    [None, "*", "x", TWO, ONE.replace("ins-1", "*"), ONE.replace("guangzhou", "tokyo"), ONE.upper()],
)
def test_dec_66_tags_of_another_resource_are_not_known(resource: str | None) -> None:
    assert listed({ONE: {"dept": "rd"}}).tags_of(resource) is None


# the tree of the file, places and messages of its problems
WRONG = [
    pytest.param([], {"": "must be an object"}, id="DEC-66 a list"),
    pytest.param({"x": {}}, {"/x": "is not six segments"}, id="DEC-66 no resource"),
    pytest.param({"qcs::vm::i": {}}, {"/qcs::vm::i": "is not six segments"}, id="DEC-66 five segments"),
    pytest.param(
        {"arn::vm:::i": {}}, {"/arn::vm:::i": "is not six segments"}, id="DEC-66 no qcs at its begin"
    ),
    pytest.param({"*": {}}, {"/*": "is not six segments"}, id="DEC-66 the star"),
    pytest.param({"qcs::vm:::i/*": {}}, {"/qcs::vm:::i~1*": "contains a wildcard"}, id="DEC-66 a wildcard"),
    pytest.param({"qcs::vm:*::i/1": {}}, {"/qcs::vm:*::i~11": "contains a wildcard"}, id="DEC-66 any region"),
    pytest.param({"qcs::::a:i": {}}, {"/qcs::::a:i": "service segment"}, id="DEC-66 no service"),
    pytest.param({"qcs:p:vm:::i": {}}, {"/qcs:p:vm:::i": "project segment"}, id="DEC-66 a project by name"),
    pytest.param({"qcs::vm:GZ::i": {}}, {"/qcs::vm:GZ::i": "region segment"}, id="DEC-66 capitals"),
    pytest.param({"qcs::vm::7:i": {}}, {"/qcs::vm::7:i": "account segment"}, id="DEC-66 digits as account"),
    pytest.param({"qcs::vm:::": {}}, {"/qcs::vm:::": "empty last segment"}, id="DEC-66 no last segment"),
    pytest.param({ONE: []}, {"1": "must be an object of tags"}, id="DEC-66 a list of tags"),
    pytest.param({ONE: None}, {"1": "must be an object of tags"}, id="DEC-66 null"),
    pytest.param({ONE: {"a": None}}, {"1/a": "must be a string"}, id="DEC-66 a value of null"),
    pytest.param({ONE: {"": "x"}}, {"1/": "empty key"}, id="DEC-66 an empty key"),
    pytest.param(
        {ONE: {}, "qcs::vm:gz::instance/ins-1": {}},
        {"/qcs::vm:gz::instance~1ins-1": "is the same resource as"},
        id="DEC-66 two keys that are one resource",
    ),
]


@pytest.mark.parametrize(("tree", "problems"), WRONG)
def test_an_inventory_with_a_bad_entry_is_refused(tree: Any, problems: dict[str, str]) -> None:
    found = read_inventory(tree, "f", OWNER)
    assert isinstance(found, tuple)
    for problem, (where, message) in zip(found, problems.items(), strict=True):
        assert problem.where.endswith(where)
        assert message in problem.message


LETTERS = "i" * 100
# the tree of the file, and the one problem as people read it
AS_READ = [
    pytest.param([], "inventory.json ", "must be an object", id="a list"),
    pytest.param({"x": {}}, "inventory.json#/x ", "'x' is not six segments", id="a key"),
    pytest.param({LETTERS: {}}, f"inventory.json#/{LETTERS} ", f"'{LETTERS[:80]}' is", id="a long key"),
    pytest.param({f"qcs:{LETTERS}:vm:::i": {}}, "inventory.json#/qcs:", f"has '{LETTERS[:80]}' as",
                 id="a long segment"),
    pytest.param({f"qcs::vm:::{LETTERS}": {}, f"qcs:0:vm:::{LETTERS}": {}}, "inventory.json#/qcs:0",
                 f"'qcs:0:vm:::{LETTERS[:69]}' is the same resource as 'qcs::vm:::{LETTERS[:70]}'",
                 id="two long keys that are one resource"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "where", "message"), AS_READ)
def test_a_problem_of_an_inventory_names_its_place_and_is_short(tree: Any, where: str, message: str) -> None:
    found = read_inventory(tree, "inventory.json", OWNER)
    assert isinstance(found, tuple)
    (problem,) = found
    assert f"{problem.where} ".startswith(where)
    assert message in problem.message


def test_dec_66_equal_tags_are_one_object() -> None:
    found = listed({ONE: {"a": "1", "b": "2"}, TWO: {"b": "2", "a": "1"}})
    assert found.tags_of(ONE) is found.tags_of(TWO)


# --- calls -------------------------------------------------------------------------------------------------


def call(*resources: str | None, name: str = "vm:Reboot", **fields: Any) -> Call:
    return Call(USER, name, 0, 0.0, resources, **fields)


def bundle_of(*statements: Any, tags: Any, catalog: Catalog = CATALOG) -> Any:
    text = json.dumps({"version": "2.0", "statement": list(statements)})
    people = {"owner": company.OWNER, "users": {USER.removeprefix("uin/"): {"policies": ["p"]}}}
    return make_bundle({"p": parse_policy(text, source="p.json")}, people, catalog, resource_tags=tags)


def test_dec_66_a_warm_row_still_asks_for_the_tags_of_each_call() -> None:
    bundle = bundle_of(allow("vm:*", "*", **RD), tags={ONE: {"dept": "rd"}, TWO: {"dept": "hr"}})
    for _ in range(2):
        assert [bool(bundle.decide(call(each))) for each in (ONE, TWO, ONE)] == [True, False, True]
    assert not bundle.decide(call(ONE, TWO))
    assert not bundle.decide(call("*", name="vm:List")), "an action without resources has no tags"


def test_dec_66_the_owner_may_not_use_what_it_does_not_own_whatever_the_tags() -> None:
    foreign = ONE.replace("100100", "100999")
    bundle = bundle_of(allow(), tags={ONE: {"dept": "rd"}, foreign: {"dept": "rd"}})
    text = json.dumps({"version": "2.0", "statement": [allow(), allow("vm:*", "*", **RD)]})
    session = parse_policy(text, source="s.json")
    owner = [call(each)._replace(principal="uin/100100", session=session) for each in (ONE, foreign)]
    assert [bool(bundle.decide(each)) for each in owner] == [True, False]
    assert [bool(bundle.evaluator.judge(each)) for each in owner] == [True, False]


UNLISTED = ": resource_tags.json does not list the resource"
SECURE = {"bool_equal": {"cos:secure-transport": "true"}}
ALL_RD = {"for_all_value:string_equal": {"qcs:resource_tag": "dept&rd"}}

# the statement, the call, and of the explanation: whether the statement holds, and what its conditions say
EXPLAINED = [
    pytest.param(allow("vm:*", "*", **RD), call(ONE, TWO, "x"),
                 (True, ["qcs:resource_tag/dept is 'rd'", "qcs:resource_tag/dept is 'hr'",
                         f"this call does not supply qcs:resource_tag/dept{UNLISTED}"]),
                 id="DEC-66 the tags of each resource are shown"),
    pytest.param(allow("vm:*", "*", **ALL_RD), call(ONE, TWO),
                 (True, ["qcs:resource_tag is 'dept&rd'", "qcs:resource_tag is 'dept&hr'"]),
                 id="DEC-66 all tags of each resource are shown"),
    pytest.param(deny("vm:*", "*", **RD, **company.inside("0.0.0.0/8")), call(ONE, TWO),
                 (True, ["qcs:resource_tag/dept is 'rd'", "qcs:resource_tag/dept is 'hr'",
                         "qcs:ip is 0.0.0.0"]),
                 id="DEC-66 a condition on the address is shown once"),
    pytest.param(deny("vm:*", TWO, **RD), call(ONE, TWO),
                 (False, ["qcs:resource_tag/dept is 'rd'", "qcs:resource_tag/dept is 'hr'"]),
                 id="DEC-66 the tags of one resource do not make a deny of another one hold"),
    pytest.param(allow("vm:*", "*", **SECURE), call(ONE),
                 (None, ["this call does not supply cos:secure-transport"]),
                 id="the inventory supplies no other key"),
    pytest.param(deny("vm:*", "*", **RD), call("*", name="vm:List"),
                 (None, ["this call does not supply qcs:resource_tag/dept"]),
                 id="an action without resources has none that the inventory could list"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "query", "said"), EXPLAINED)
def test_the_explanation_shows_the_tags_of_the_inventory(
    statement: dict[str, Any], query: Call, said: tuple[bool | None, list[str]]
) -> None:
    bundle = bundle_of(statement, tags={ONE: {"dept": "rd"}, TWO: {"dept": "hr"}})
    why = bundle.explain(query)
    assert why.decision == bundle.decide(query)
    (note,) = why.statements
    assert (note.truth, [each.why for each in note.clauses if each.kind == "condition"]) == said


def test_dec_66_a_proposal_adds_to_the_tags_that_are_listed() -> None:
    both = {"string_equal": {"qcs:resource_tag/dept": "rd", "qcs:resource_tag/env": "prod"}}
    bundle = bundle_of(allow("vm:*", "*", **both), tags={ONE: {"env": "prod"}})
    one = call(ONE)
    changes = bundle.nearest_changes(one, bundle.explain(one))
    assert "have the tag dept=rd on the resource" in [change.text for change in changes]
    two = call(ONE, TWO)  # whose tags differ, so that one proposal must name both tags
    texts = [change.text for change in bundle.nearest_changes(two, bundle.explain(two))]
    assert "have the tag dept=rd on the resource and have the tag env=prod on the resource" in texts


def test_dec_66_the_setting_is_proposed_where_the_listed_tags_allow_the_call() -> None:
    """CAM cannot limit the action by address, and the allow holds for the address and the tags."""
    blind = catalog(
        service("vm", action("vm:Reboot", INSTANCE, ip_restriction=False), tag_authorization=True)
    )
    tagged = allow("vm:*", "*", **RD, **company.inside("0.0.0.0/8"))
    bundle = bundle_of(tagged, tags={ONE: {"dept": "rd"}, TWO: {"dept": "hr"}}, catalog=blind)
    setting = 'set enforcement.ip_support = "gateway"'
    for resource, proposed in ((ONE, True), (TWO, False)):
        asked = call(resource)
        texts = [change.text for change in bundle.nearest_changes(asked, bundle.explain(asked))]
        assert any(setting in text for text in texts) is proposed


def test_dec_66_a_call_of_very_many_different_tags_is_denied_in_bounded_time() -> None:
    resources = [ONE.replace("ins-1", f"ins-{i}") for i in range(1000)]
    tags = {each: {"dept": "rd", "n": str(i)} for i, each in enumerate(resources)}
    units = 1000 * (3 + 2)  # of one rule with one value, for 1000 sets of two tags
    most = MOST_TAG_WORK // units
    for rules, reason in ((most, "allowed"), (most + 1, "no_allow")):
        started = process_time()
        found = bundle_of(*[allow("vm:*", "*", **RD)] * rules, tags=tags).decide(call(*resources))
        assert found.reason == reason
        assert process_time() - started < 0.5, "some 30 ms, and the time to build the bundle"
    blocked = bundle_of(allow(), *[deny("vm:*", "*", string_equal={"qcs:tag/n": "x"})] * 10, tags=tags)
    assert blocked.decide(call(*resources)).reason == "undetermined_deny"


# --- files -------------------------------------------------------------------------------------------------


def write(folder: Path, tags: str | None) -> tuple[Path, Path]:
    save_all(CATALOG.services.values(), folder / "catalog")
    (folder / "b" / "policies").mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": "2.0", "statement": allow("vm:*", "*", **RD)})
    (folder / "b" / "policies" / "p.json").write_text(text, encoding="utf-8")
    people = {"owner": company.OWNER, "users": {USER.removeprefix("uin/"): {"policies": ["p"]}}}
    (folder / "b" / "principals.json").write_text(json.dumps(people), encoding="utf-8")
    if tags is not None:
        (folder / "b" / "resource_tags.json").write_text(tags, encoding="utf-8")
    return folder / "b", folder / "catalog"


def test_dec_66_the_file_is_part_of_the_bundle_and_of_its_revision(tmp_path: Path) -> None:
    without = load_bundle(*write(tmp_path, None))
    first = load_bundle(*write(tmp_path, json.dumps({ONE: {"dept": "rd"}})))
    second = load_bundle(*write(tmp_path, json.dumps({ONE: {"dept": "hr"}})))
    assert [bool(each.decide(call(ONE))) for each in (without, first, second)] == [False, True, False]
    assert len({without.revision, first.revision, second.revision}) == 3


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"x": {}}', '{"qcs::vm:::i": {}, "qcs::vm:::i": {}}', '{"qcs::vm:::i": {"a": 1}}'],
)
def test_dec_66_a_bundle_with_a_bad_inventory_does_not_load(tmp_path: Path, text: str) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(*write(tmp_path, text))
    assert {problem.code for problem in caught.value.problems} == {"ResourceTagsError"}
    assert all(problem.where.startswith("resource_tags.json") for problem in caught.value.problems)


def test_an_inventory_is_no_policy(tmp_path: Path) -> None:
    """T108: a folder without policies is a mistake, whatever else it holds."""
    folder, rows = write(tmp_path, "{}")
    (folder / "policies" / "p.json").unlink()
    with pytest.raises(BundleError, match="holds no policy"):
        load_bundle(folder, rows)
