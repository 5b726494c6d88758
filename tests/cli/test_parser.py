"""The parser of arguments: suggestions, examples, and one number of the schema for every document in JSON."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from camguard.activation import Ordered
from camguard.bundle.archive import write_archive
from camguard.bundle.last_good import State
from camguard.bundle.load import read_content
from camguard.bundle.signature import read_sign_key
from camguard.cli import main, parser
from camguard.cli.call import Answer
from camguard.cli.output import SCHEMA
from camguard.cli.parser import EXAMPLES, verbs_of
from tests.cli.test_logged import line, written

PARSERS = {each.prog: each for each in parser().tree()}
LEAVES = [prog for prog, each in PARSERS.items() if not any(map(verbs_of, each.arguments()))]

# mistyped arguments, what the last line on stderr suggests
MISTYPED = [
    pytest.param(["chek"], "did you mean 'check'?", id="a verb"),
    pytest.param(["catalog", "shwo"], "did you mean 'show'?", id="a verb below another"),
    pytest.param(["lint", "--format", "sarf"], "did you mean 'sarif'?", id="a form"),
    pytest.param(["principals", "--kind", "users"], "did you mean 'user'?", id="a kind of principal"),
    pytest.param(["completion", "fsh"], "did you mean 'fish' or", id="a shell"),
]


@pytest.mark.parametrize(("argv", "says"), MISTYPED)
def test_a_mistyped_word_has_a_suggestion(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_word_that_is_near_to_none_has_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzzz"]) == 2
    assert "did you mean" not in capsys.readouterr().err


# what is given for --principal, the note about it
PRINCIPALS = [
    pytest.param("alcie", "no principal 'alcie' (did you mean 'alice'", id="a name with two letters swapped"),
    pytest.param("role/render-frm", "(did you mean 'role/render-farm'", id="a role without a letter"),
    pytest.param("zzzz", "no principal 'zzzz'\n", id="a name that is near to none"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("named", "says"), PRINCIPALS)
def test_a_mistyped_principal_has_a_suggestion(
    named: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--principal", named, "--action", "aiart:TextToImage"]) == 6
    printed = capsys.readouterr()
    assert "principal_unknown" in printed.out
    assert says in printed.err


def test_a_name_of_two_users_names_both(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = folder / "bundle/principals.json"
    people.write_text(people.read_text().replace('"bruno"', '"alice"'))
    assert main(["check", "--principal", "alice", "--action", "aiart:TextToImage"]) == 6
    says = "2 principals are named 'alice'; write uin/100000000101 or uin/100000000102"
    assert says in capsys.readouterr().err


def test_a_known_principal_has_no_note(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    assert main(["check", "--principal", "alice", "--action", "aiart:SetPayMode"]) == 6
    assert capsys.readouterr().err == ""


def test_every_verb_has_examples_and_every_example_has_a_verb() -> None:
    assert EXAMPLES.keys() == PARSERS.keys()


@pytest.mark.parametrize(
    ("prog", "example"),
    [pytest.param(prog, example, id=example) for prog, examples in EXAMPLES.items() for example in examples],
)
def test_an_example_is_in_the_help_and_parses(
    prog: str, example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*prog.split()[1:], "--help"]) == 0
    assert f"\n  {example}\n" in capsys.readouterr().out
    words = shlex.split(example.partition(" > ")[0])
    assert words[: len(prog.split())] == prog.split()
    assert callable(parser().parse_args(words[1:]).run)


CALL = ("--key", "uin/100000000101", "--action", "aiart:TextToImage", "--url")

# The arguments with which each verb prints a result of its own, in a folder that `camguard init` wrote.
DOCUMENTS = {
    "camguard serve": ("--check",),
    "camguard check": ("--principal", "alice", "--action", "aiart:TextToImage", "--explain"),
    "camguard from-where": ("--principal", "alice", "--action", "aiart:TextToImage"),
    "camguard who-can": ("--action", "aiart:SetPayMode"),
    "camguard what-can": ("--principal", "alice"),
    "camguard diff": ("bundle", "bundle"),
    "camguard reduce": (),
    "camguard reason": ("no_allow",),
    "camguard rule": ("CG201",),
    "camguard suggest": ("log.jsonl", "--principal", "alice"),
    "camguard unused": ("log.jsonl",),
    "camguard lint": (),
    "camguard test": (),
    "camguard principals": (),
    "camguard call": (*CALL, "http://127.0.0.1:1"),
    "camguard bundle build": ("--serial", "1", "--out", "b.tar.gz"),
    "camguard bundle inspect": ("a.tar.gz",),
    "camguard bundle verify": ("a.tar.gz", "--key-file", "bundle.key"),
    "camguard replay": ("log.jsonl",),
    "camguard rollback": (),
    "camguard promote": (),
    "camguard catalog build": ("--names", "names.txt", "--out", "catalog"),
    "camguard catalog show": (),
    "camguard catalog diff": ("catalog", "catalog"),
    "camguard config show": (),
    "camguard front": ("nginx",),
    "camguard init": ("new",),
}
WITHOUT_FORMAT = {"camguard completion": "it prints a script"}


def test_every_verb_prints_json() -> None:
    formed = {
        prog
        for prog in LEAVES
        if any("--format" in argument.option_strings for argument in PARSERS[prog].arguments())
    }
    assert formed == DOCUMENTS.keys()
    assert {*LEAVES} - formed == WITHOUT_FORMAT.keys()


@pytest.mark.parametrize("prog", DOCUMENTS)
def test_every_document_begins_with_the_number_of_its_schema(
    prog: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "names.txt").write_text("toybox:AddToy\n")
    (folder / "bundle.key").write_text("5e" * 32)
    (folder / "bundle.key").chmod(0o600)
    key = read_sign_key(folder / "bundle.key")
    content = read_content(folder / "bundle", folder / "catalog")
    (folder / "a.tar.gz").write_bytes(write_archive(content.files, 1, key=key))
    written(folder, line())
    nothing = Ordered(None, State())  # tests/test_activation.py carries out orders
    monkeypatch.setattr("camguard.cli.rollback.rollback", lambda *_: nothing)
    monkeypatch.setattr("camguard.cli.rollback.promote", lambda *_: nothing)
    answer = Answer(200, b'{"Response": {"RequestId": "r"}}', "")
    monkeypatch.setattr("camguard.cli.call.send", lambda *_: answer)  # tests/cli/test_call.py sends it
    main([*prog.split()[1:], *DOCUMENTS[prog], "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert next(iter(document.items())) == ("schema", SCHEMA) == ("schema", 1)
    assert len(document) > 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("what", ["aiart", "aiart:TextToImage"])
def test_documents_of_a_service_and_of_an_action_have_the_number_too(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalog", "show", what, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


@pytest.mark.usefixtures("folder")
def test_sarif_has_no_number_of_camguard(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", "--format", "sarif"])
    assert "schema" not in json.loads(capsys.readouterr().out)


def test_the_package_runs_as_a_module(folder: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "camguard", "principals", "--kind", "owner"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(repository)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[1].split()[:2] == ["uin/100000000001", "owner"]
    assert done.stderr == ""
