"""Files of policy tests: the calls that each stands for, and every way to get one wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.cli import main
from camguard.exit_codes import Exit
from tests.company import allow, document
from tests.policytest.written import TEST, report_of, write_test

# what is wrong with a file of tests, where it is and what is said of it
WRONG = [
    pytest.param("[[test]", "mine.toml:1", "is not TOML", id="no TOML"),
    pytest.param("a = " + "[" * 5000, "mine.toml", "nested too deeply", id="nested without end"),
    pytest.param("a = " + "1" * 5000, "mine.toml", "more than 64 bits", id="an endless number"),
    pytest.param("[tests]", "top level", "unknown key 'tests' (did you mean 'test'", id="an unknown table"),
    pytest.param('test = "x"', "top level", "write [[test]]", id="a test that is no table"),
    pytest.param(
        TEST + 'acton = "x"', "[[test]] 1 'alice draws'", "unknown key 'acton'", id="an unknown key"
    ),
    pytest.param(
        TEST.replace("alice", "alise"),
        "principals",
        "no principal 'alise' (did you mean 'alice'",
        id="an unknown principal",
    ),
    pytest.param(
        TEST.replace("TextToImage", "TextToImag"),
        "actions",
        "did you mean 'aiart:TextToImage'",
        id="an unknown action",
    ),
    pytest.param(
        TEST.replace("TextToImage", "Drop*"),
        "actions",
        "no action fits 'aiart:Drop*'",
        id="a pattern that fits nothing",
    ),
    pytest.param(TEST.replace("10.1.0.1", "10.1"), "ips", "'10.1': is not an IP address", id="no address"),
    pytest.param(TEST.replace('["10.1.0.1"]', "[]"), "ips", "at least one string", id="no addresses"),
    pytest.param(TEST.replace("now", "# now"), "times", "has no time:", id="no time"),
    pytest.param(
        TEST.replace("09:00:00Z", "09:00:00"), "times", "has no time zone", id="a time without zone"
    ),
    pytest.param(TEST + 'times = ["noon"]', "times", "'noon' is not a time", id="a time that is none"),
    pytest.param(TEST.replace('"allow"', '"permit"'), "[[test]] 1", "default is 'permit'", id="no decision"),
    pytest.param(TEST.replace("default", "reason"), "[[test]] 1", "default is missing", id="no default"),
    pytest.param(
        TEST + 'reason = "no_alow"', "[[test]] 1", "did you mean 'no_allow'", id="an unknown reason"
    ),
    pytest.param(
        TEST + 'context = {"qcs:mfa" = "true"}',
        "context, qcs:mfa",
        "list of",
        id="a context of the wrong shape",
    ),
    pytest.param(TEST + 'region = "gz"', "region", "must be a region such as", id="DEC-64 an old code"),
    pytest.param('egress = {"10.0.0.0/8" = "::1"}' + TEST, "egress", "family of ::1", id="T132 two families"),
    pytest.param(TEST + "context = 1", "context", "must be a table", id="a context that is none"),
    pytest.param(
        TEST + "request_tags = {a = 1}", "request_tags, a", "must be a string", id="tags that are no text"
    ),
    pytest.param(
        TEST + '[[test.expect]]\nips = ["10.1.0.2"]\ndecision = "deny"',
        "[[test.expect]] 1",
        "'10.1.0.2' is not among the ips of the test",
        id="an expectation of what is not tested",
    ),
    pytest.param(
        TEST + '[[test.expect]]\ndecision = "deny"\n' * 2,
        "[[test.expect]] 2",
        "is named by",
        id="two expectations of one call",
    ),
    pytest.param(
        "[ips]\na = 1\n" + TEST.replace("now", "# now"), "times", "has no time:", id="tables before keys"
    ),
    pytest.param("ips = 1" + TEST, "top level, ips", "must be a table", id="names that are no table"),
]


@pytest.mark.parametrize(("text", "where", "says"), WRONG)
def test_a_wrong_file_is_3_and_named(
    text: str, where: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test(folder, text)
    assert main(["test"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    line = next(line for line in printed.err.splitlines() if says in line)
    assert line.startswith("camguard: bundle/tests/mine.toml:")
    assert where in line


def test_an_action_on_resources_wants_them_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text())
    row = next(row for row in catalog["actions"] if row["name"] == "TextToImage")
    row |= {"granularity": "resource", "resources": ["qcs::aiart:$region:$account:job/$jobid"]}
    file.write_text(json.dumps(catalog))
    write_test(folder, TEST)
    assert main(["test"]) == 3
    assert "give the test `resources` like qcs::aiart:" in capsys.readouterr().err
    resources = '[resources]\njob = "qcs::aiart:ap-guangzhou:uin/100000000001:job/1"\n'
    write_test(folder, TEST.replace("[[test]]", f"{resources}[[test]]") + 'resources = ["job"]\n')
    assert main(["test"]) == 0


def test_a_range_stands_for_its_ends(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_test(folder, TEST.replace("10.1.0.1", "10.0.255.0/23"))
    assert main(["test", "--format", "json"]) == 4
    (test,) = report_of(capsys)["tests"]
    assert test["calls"] == 2
    assert ["from 10.0.254.0 " in failure["call"] for failure in test["failures"]] == [True, False]


def test_tags_and_context_reach_the_call(folder: Path) -> None:
    text = document(allow("aiart:TextToImage", bool_equal={"qcs:mfa": "true"}))
    (folder / "bundle/policies/aiart-create.json").write_text(text)
    write_test(folder, TEST)
    assert main(["test"]) == 4
    write_test(
        folder, TEST + 'context = {"qcs:mfa" = ["true"]}\nresource_tags = {a = "b"}\nrequest_tags = {}\n'
    )
    assert main(["test"]) == 0


def test_dec_64_a_region_reaches_the_call(folder: Path) -> None:
    text = document(allow("aiart:TextToImage", string_equal={"aiart:region": "gz"}))
    (folder / "bundle/policies/aiart-create.json").write_text(text)
    write_test(folder, TEST)
    assert main(["test"]) == 4
    write_test(folder, TEST + 'region = "ap-guangzhou"\n')
    assert main(["test"]) == 0


def test_t132_addresses_of_tests_are_mapped_by_the_egress_of_their_file(folder: Path) -> None:
    text = document(allow("aiart:TextToImage", ip_equal={"qcs:ip": "203.0.113.7"}))
    (folder / "bundle/policies/aiart-create.json").write_text(text)
    write_test(folder, TEST)
    assert main(["test"]) == 4
    write_test(folder, 'egress = {"10.0.0.0/8" = "203.0.113.7"}\n' + TEST)
    assert main(["test"]) == 0


def test_dec_68_an_action_may_be_named_by_the_label_of_its_host(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"names": ["aiart:*"], "sure": True}
    (folder / "catalog/services.json").write_text(json.dumps({"asks": {"paint:*": row}}))
    write_test(folder, TEST.replace("aiart:", "paint:"))
    assert main(["test", "--format=json"]) == Exit.OK
    write_test(folder, TEST.replace("aiart:Text", "paint:Test"))
    assert main(["test", "--format=json"]) == Exit.INVALID
    assert "no action is called 'paint:TestToImage'" in capsys.readouterr().err
