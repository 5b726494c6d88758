"""The folder of the last good bundles: the order of bundles, the pin, names, and what is written to disk."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from camguard.bundle.archive import MAX_SERIAL
from camguard.bundle.last_good import KEPT, STATE, Kept, LastGood, Pin, State, wrong
from camguard.errors import BundleError, Problem

A, B, C, D = (letter * 64 for letter in "abcd")
FIVE, FOUR, THREE = Kept(5, A, "e" * 64), Kept(4, B, "f" * 64), Kept(3, C)
CODE = "LastGoodError"
CURE = "remove the file to forget the order of bundles and the pin"


@pytest.fixture
def folder(tmp_path: Path) -> LastGood:
    return LastGood(tmp_path / "a" / "kept")


def test_an_empty_state_has_no_bundle_and_accepts_every_serial() -> None:
    assert State() == ((0, ""), (), None)
    assert Kept(1, A) == (1, A, "")
    assert State().accepts(1, A)
    assert Kept(5, A).file == f"5-{A}.tar.gz"
    assert KEPT == 10


# the state before an activation, the activated bundle, whether it was forced, and the state afterwards
ACTIVATIONS = [
    pytest.param(State(), FIVE, False, State((5, A), (FIVE,)), id="the first bundle"),
    pytest.param(
        State((4, B), (FOUR, THREE)), FIVE, False, State((5, A), (FIVE, FOUR, THREE)), id="a newer bundle"
    ),
    pytest.param(
        State((5, A), (FIVE, FOUR)),
        FOUR,
        False,
        State((5, A), (FOUR, FIVE)),
        id="an older bundle that is pinned",
    ),
    pytest.param(
        State((5, A), (FIVE, FOUR)),
        FOUR,
        True,
        State((4, B), (FOUR, FIVE)),
        id="an older bundle that is forced",
    ),
    pytest.param(
        State((5, A), (FIVE,)),
        Kept(5, B),
        False,
        State((5, A), (Kept(5, B), FIVE)),
        id="another bundle with the same serial",
    ),
    pytest.param(
        State((5, A), (FOUR, FIVE)),
        Kept(5, A, "0"),
        False,
        State((5, A), (Kept(5, A, "0"), FOUR)),
        id="another revision",
    ),
    pytest.param(
        State((4, B), (FOUR,), Pin(B, 4)),
        FIVE,
        False,
        State((5, A), (FIVE, FOUR)),
        id="a newer bundle releases a pin",
    ),
    pytest.param(
        State((5, A), (FOUR, FIVE), Pin(B, 5)),
        FIVE,
        False,
        State((5, A), (FIVE, FOUR), Pin(B, 5)),
        id="the serial that a pin holds back does not release the pin",
    ),
    pytest.param(
        State((5, A), (FIVE, FOUR), Pin(A, 5)),
        THREE,
        True,
        State((3, C), (THREE, FIVE, FOUR)),
        id="a forced bundle releases the pin of another one",
    ),
    pytest.param(
        State((4, B), (FIVE,), Pin(A, 4)),
        FIVE,
        False,
        State((5, A), (FIVE,), Pin(A, 4)),
        id="the pinned bundle does not release the pin of its own",
    ),
]


@pytest.mark.parametrize(("before", "bundle", "forced", "after"), ACTIVATIONS)
def test_an_activation_changes_the_state(before: State, bundle: Kept, forced: bool, after: State) -> None:
    assert before.with_active(bundle, forced=forced) == after
    if not forced:
        assert before.with_active(bundle) == after


def test_ten_bundles_are_kept_and_the_oldest_activation_is_forgotten() -> None:
    many = tuple(Kept(serial, f"{serial:064}") for serial in range(10, 0, -1))
    after = State((10, many[0].digest), many).with_active(Kept(11, A))
    assert after.kept == (Kept(11, A), *many[:-1])


# a serial and a digest, and whether they are accepted after serial 5
ACCEPTED = [
    pytest.param(6, B, True, id="a higher serial"),
    pytest.param(5, A, True, id="the newest bundle itself"),
    pytest.param(5, B, False, id="T109 the same serial with another digest"),
    pytest.param(4, A, False, id="T109 a lower serial with the same digest"),
]


@pytest.mark.parametrize(("serial", "digest", "accepted"), ACCEPTED)
def test_only_serials_order_bundles(serial: int, digest: str, accepted: bool) -> None:
    assert State((5, A)).accepts(serial, digest) is accepted


# the state before a bundle is pinned, the bundle, and the state afterwards
PINS = [
    pytest.param(
        State((5, A), (FIVE, FOUR, THREE)),
        FOUR,
        State((5, A), (FIVE, FOUR, THREE), Pin(B, 5)),
        id="a kept bundle stays in its place",
    ),
    pytest.param(
        State((5, A), (FIVE, FOUR)),
        THREE,
        State((5, A), (FIVE, FOUR, THREE), Pin(C, 5)),
        id="a new bundle joins behind the others",
    ),
    pytest.param(
        State((4, B), (FOUR,)),
        FIVE,
        State((4, B), (FOUR, FIVE), Pin(A, 5)),
        id="a newer bundle is pinned until its serial",
    ),
    pytest.param(
        State((5, A), (FIVE, FOUR), Pin(A, 9)),
        FOUR,
        State((5, A), (FIVE, FOUR), Pin(B, 5)),
        id="a pin takes the place of another",
    ),
    pytest.param(
        State((5, A), (FIVE, Kept(4, B))),
        FOUR,
        State((5, A), (FIVE, FOUR), Pin(B, 5)),
        id="a kept bundle that was never activated gets its revision",
    ),
]


@pytest.mark.parametrize(("before", "bundle", "after"), PINS)
def test_a_pin_changes_the_state(before: State, bundle: Kept, after: State) -> None:
    assert before.with_pin(bundle) == after


def test_a_pinned_bundle_is_among_the_ten_that_are_kept() -> None:
    many = tuple(Kept(serial, f"{serial:064}") for serial in range(10, 0, -1))
    after = State((10, many[0].digest), many).with_pin(Kept(11, A))
    assert after.kept == (*many[:-1], Kept(11, A)), "the bundle in force and those just before it stay"


TWINS = State((5, A), (Kept(5, A, "1" * 64), Kept(4, B, "1" * 63 + "2")))
THREE_KEPT = State((5, A), (FIVE, FOUR, THREE))
LIST = f"{'e' * 12} (serial 5), {'f' * 12} (serial 4),  (serial 3)"

# a state, a name, the bundle that it names or the text of the problem
NAMES: list[Any] = [
    pytest.param(THREE_KEPT, "", FOUR, id="no name: the one before"),
    pytest.param(
        State((5, A), (FIVE,)), "", "the folder has no bundle before the one in force", id="no one before"
    ),
    pytest.param(State(), "", "the folder has no bundle before the one in force", id="no bundle at all"),
    pytest.param(THREE_KEPT, "3", THREE, id="a serial"),
    pytest.param(THREE_KEPT, "cccccc", THREE, id="six digits of a digest"),
    pytest.param(THREE_KEPT, "eeeeee", FIVE, id="six digits of a revision"),
    pytest.param(THREE_KEPT, "f" * 64, FOUR, id="a whole revision"),
    pytest.param(THREE_KEPT, "ccccc", f"'ccccc' is no kept bundle; kept are: {LIST}", id="five digits"),
    pytest.param(
        THREE_KEPT, "33", f"'33' is no kept bundle; kept are: {LIST}", id="a serial that is not kept"
    ),
    pytest.param(State(), "33", "'33' is no kept bundle; kept are: none", id="a name where nothing is kept"),
    pytest.param(
        State((5, A), (Kept(5, "a" * 58 + "bbbbbb", ""),)),
        "bbbbbb",
        "'bbbbbb' is no kept bundle; kept are:  (serial 5)",
        id="the last digits of a digest",
    ),
    pytest.param(
        State(), "x" * 63 + "yz", f"'{'x' * 63}y' is no kept bundle; kept are: none", id="a long name is cut"
    ),
    pytest.param(
        TWINS,
        "111111",
        f"'111111' names several kept bundles: {'1' * 12} (serial 5), {'1' * 12} (serial 4)",
        id="two revisions that begin alike",
    ),
    pytest.param(TWINS, "1" * 64, TWINS.kept[0], id="a whole revision beside one that begins alike"),
    pytest.param(
        State((5, A), (Kept(5, A, "1" * 66), Kept(4, B, "1" * 66))),
        "1" * 65,
        f"'{'1' * 64}' names several kept bundles: {'1' * 12} (serial 5), {'1' * 12} (serial 4)",
        id="a long name of several bundles is cut",
    ),
]


@pytest.mark.parametrize(("state", "name", "found"), NAMES)
def test_a_name_names_one_kept_bundle(state: State, name: str, found: Kept | str) -> None:
    if isinstance(found, Kept):
        assert state.find(name) == found
        return
    with pytest.raises(BundleError) as caught:
        state.find(name)
    assert caught.value.problems == (Problem("policy.last_good", CODE, found),)


def test_a_problem_of_the_folder_names_the_setting_unless_it_has_a_place() -> None:
    assert wrong("x").problems == (Problem("policy.last_good", CODE, "x"),)
    assert wrong("x", "y").problems == (Problem("y", CODE, "x"),)


# Reading the state

EMPTY: Mapping[str, Any] = {"schema": 1, "highest": None, "kept": [], "pin": None}
ENTRY: Mapping[str, Any] = {"serial": 5, "digest": A, "revision": "e" * 64}

# a document, and the state that it holds
STATES = [
    pytest.param(EMPTY, State(), id="nothing"),
    pytest.param(
        {**EMPTY, "highest": {"serial": 5, "digest": A}, "kept": [ENTRY], "pin": {"digest": B, "until": 7}},
        State((5, A), (FIVE,), Pin(B, 7)),
        id="everything",
    ),
    pytest.param(
        {**EMPTY, "highest": {"serial": MAX_SERIAL, "digest": A}},
        State((MAX_SERIAL, A)),
        id="the highest serial",
    ),
    pytest.param(
        {**EMPTY, "pin": {"digest": "0123456789abcdef" * 4, "until": 0}},
        State(pin=Pin("0123456789abcdef" * 4, 0)),
        id="a pin with every digit",
    ),
]


def put(folder: LastGood, document: object) -> Path:
    folder.folder.mkdir(parents=True)
    path = folder.folder / STATE
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(("document", "state"), STATES)
def test_a_state_is_read(document: object, state: State, folder: LastGood) -> None:
    put(folder, document)
    assert folder.read() == state


def test_no_file_is_an_empty_state(folder: LastGood) -> None:
    assert folder.read() == State()


# members of the document that are wrong, the place and the text of each problem
DAMAGED = [
    pytest.param({"schema": 2}, [("#/schema", "must be 1")], id="another schema"),
    pytest.param({"schema": 0}, [("#/schema", "must be 1")], id="schema 0"),
    pytest.param({"schema": "1"}, [("#/schema", "must be 1")], id="the schema as text"),
    pytest.param({"highest": 5}, [("#/highest", "must be an object or null")], id="a number as the highest"),
    pytest.param(
        {"highest": {}},
        [("#/highest", "lacks 'serial'"), ("#/highest", "lacks 'digest'")],
        id="an empty object as the highest",
    ),
    pytest.param({"kept": {}}, [("#/kept", "must be a list")], id="an object as the kept bundles"),
    pytest.param({"kept": None}, [("#/kept", "must be a list")], id="null as the kept bundles"),
    pytest.param({"kept": [ENTRY, 5]}, [("#/kept/1", "must be an object")], id="a number as a kept bundle"),
    pytest.param(
        {"kept": [{"serial": 5, "digest": A}]},
        [("#/kept/0", "lacks 'revision'")],
        id="a kept bundle without its revision",
    ),
    pytest.param(
        {"kept": [{**ENTRY, "revision": None}]},
        [("#/kept/0/revision", "must be a string")],
        id="null as a revision",
    ),
    *(
        pytest.param(
            {"kept": [{**ENTRY, "digest": digest}]},
            [("#/kept/0/digest", "must be a SHA-256")],
            id=f"a digest {what}",
        )
        for digest, what in (
            (A[1:], "of 63 digits"),
            (A + "a", "of 65 digits"),
            (A.upper(), "in capitals"),
            ("g" * 64, "of letters"),
            ("-" * 64, "of hyphens"),
        )
    ),
    *(
        pytest.param(
            {"kept": [{**ENTRY, "serial": serial}]},
            [("#/kept/0/serial", "must be a serial")],
            id=f"serial {serial!r}",
        )
        for serial in (-1, 1.5, "5", True, None, MAX_SERIAL + 1)
    ),
    pytest.param({"pin": []}, [("#/pin", "must be an object or null")], id="a list as the pin"),
    pytest.param({"pin": {"digest": A}}, [("#/pin", "lacks 'until'")], id="a pin without its end"),
    pytest.param(
        {"pin": {"digest": A, "until": 1, "x": 1}},
        [("#/pin/x", "unknown key 'x'")],
        id="an unknown key of the pin",
    ),
    pytest.param({"x": 1}, [("#/x", "unknown key 'x'")], id="an unknown key"),
]


@pytest.mark.parametrize(("members", "problems"), DAMAGED)
def test_t109_a_damaged_state_is_an_error(
    members: Mapping[str, Any], problems: list[tuple[str, str]], folder: LastGood
) -> None:
    path = put(folder, {**EMPTY, **members})
    with pytest.raises(BundleError) as caught:
        folder.read()
    expected = [Problem(f"{path}{at}", CODE, text) for at, text in (*problems, ("", CURE))]
    assert list(caught.value.problems) == expected


def test_t109_a_serial_of_very_many_digits_is_an_error(folder: LastGood) -> None:
    path = put(folder, json.dumps({**EMPTY, "pin": {"digest": A, "until": 7}}).replace("7", "7" * 5000))
    with pytest.raises(BundleError) as caught:
        folder.read()
    assert caught.value.problems[0] == Problem(f"{path}#/pin/until", CODE, "must be a serial")


def test_t109_a_state_that_lacks_everything_is_an_error(folder: LastGood) -> None:
    path = put(folder, "{}")
    with pytest.raises(BundleError) as caught:
        folder.read()
    lacks = [f"lacks {name!r}" for name in ("schema", "highest", "kept", "pin")]
    assert list(caught.value.problems) == [Problem(str(path), CODE, text) for text in (*lacks, CURE)]


def test_t109_a_state_that_cannot_be_read_is_an_error(folder: LastGood) -> None:
    (folder.folder / STATE).mkdir(parents=True)
    with pytest.raises(BundleError) as caught:
        folder.read()
    message = "cannot be read: it is a folder, not a regular file"
    assert caught.value.problems == (Problem(str(folder.folder / STATE), CODE, message),)


def test_an_archive_that_cannot_be_read_is_an_error_with_its_path(folder: LastGood) -> None:
    with pytest.raises(BundleError) as caught:
        folder.archive(FIVE)
    message = "cannot be read: No such file or directory"
    assert caught.value.problems == (Problem(str(folder.folder / FIVE.file), CODE, message),)


# Writing


def test_a_state_is_written_as_text_that_people_read(folder: LastGood) -> None:
    state = State((5, A), (FIVE,), Pin(B, 7))
    assert folder.change(lambda _: state, (FIVE, b"archive")) == state
    assert (
        (folder.folder / STATE).read_text()
        == f"""{{
 "schema": 1,
 "highest": {{
  "serial": 5,
  "digest": "{A}"
 }},
 "kept": [
  {{
   "serial": 5,
   "digest": "{A}",
   "revision": "{"e" * 64}"
  }}
 ],
 "pin": {{
  "digest": "{B}",
  "until": 7
 }}
}}
"""
    )
    assert folder.read() == state
    assert folder.archive(FIVE) == b"archive"


def test_a_state_without_bundles_has_null_in_their_place(folder: LastGood) -> None:
    folder.change(lambda _: State(pin=Pin(B, 7)))
    folder.change(lambda state: state._replace(pin=None))
    assert json.loads((folder.folder / STATE).read_text()) == EMPTY


def test_only_the_user_of_the_process_may_read_and_write_the_files(folder: LastGood) -> None:
    folder.change(lambda state: state.with_active(FIVE), (FIVE, b"archive"))
    folder.confirm(1000.0)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.folder.iterdir()}
    assert modes == {"state.json": 0o600, "lock": 0o600, FIVE.file: 0o600}


def test_a_confirmation_makes_the_folder_and_its_file_is_for_one_user(folder: LastGood) -> None:
    assert folder.confirmed() is None
    folder.confirm(1234.5)
    assert folder.confirmed() == 1234.5
    (lock,) = folder.folder.iterdir()
    assert (lock.name, lock.stat().st_mode & 0o777) == ("lock", 0o600)
    folder.confirm(1000.0)
    assert folder.confirmed() == 1000.0


def test_what_is_not_changed_is_not_written_again(folder: LastGood) -> None:
    folder.change(lambda state: state.with_active(FIVE), (FIVE, b"archive"))
    before = {path.name: path.stat().st_ino for path in folder.folder.iterdir()}
    (folder.folder / FOUR.file).write_bytes(b"not named by the state")
    assert folder.change(lambda state: state, (FIVE, b"archive")) == State((5, A), (FIVE,))
    after = {path.name: path.stat().st_ino for path in folder.folder.iterdir()}
    assert after.pop(FOUR.file), "without a change nothing is removed"
    assert after == before


def test_a_state_is_changed_while_no_other_process_changes_it(folder: LastGood) -> None:
    held = []

    def change(state: State) -> State:
        descriptor = os.open(folder.folder / "lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(True)
        finally:
            os.close(descriptor)
        return state

    folder.change(change)
    assert held == [True]
    descriptor = os.open(folder.folder / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


# the name of a file in the folder, and whether a change of the state removes the file
PRUNED = [
    pytest.param(f"1-{A}.tar.gz", True, id="an archive that the state does not name"),
    pytest.param(
        f"{MAX_SERIAL}-{'0123456789abcdef' * 4}.tar.gz", True, id="an archive with the highest serial"
    ),
    pytest.param(f"1234567890-{B}.tar.gz", True, id="an archive with a serial of all digits"),
    pytest.param(f"{10**16}-{A}.tar.gz", False, id="a serial that is too long"),
    pytest.param(f"-{A}.tar.gz", False, id="no serial"),
    pytest.param(f"1{A}.tar.gz", False, id="no hyphen"),
    pytest.param(f"1-{A[1:]}.tar.gz", False, id="a digest of 63 digits"),
    pytest.param(f"1-{A}a.tar.gz", False, id="a digest of 65 digits"),
    pytest.param(f"1-{A.upper()}.tar.gz", False, id="a digest in capitals"),
    pytest.param(f"1-{A}-tar.gz", False, id="no dot before tar"),
    pytest.param(f"1-{A}.tar-gz", False, id="no dot before gz"),
    pytest.param(f"1-{A}.tar.gz.bak", False, id="a copy"),
    pytest.param("notes.txt", False, id="a file of somebody else"),
    pytest.param(FIVE.file, False, id="an archive that the state names"),
]


@pytest.mark.parametrize(("name", "removed"), PRUNED)
def test_a_change_removes_archives_that_the_state_does_not_name(
    name: str, removed: bool, folder: LastGood
) -> None:
    folder.folder.mkdir(parents=True)
    (folder.folder / name).write_bytes(b"x")
    folder.change(lambda state: state.with_active(FIVE))
    assert (folder.folder / name).exists() is not removed


def test_an_archive_that_cannot_be_removed_stops_no_change(folder: LastGood) -> None:
    (folder.folder / FOUR.file).mkdir(parents=True)
    folder.change(lambda state: state.with_active(FIVE))
    assert folder.read() == State((5, A), (FIVE,))


def test_a_failed_change_releases_the_lock_and_writes_nothing(folder: LastGood) -> None:
    def fail(_: State) -> State:
        raise BundleError(Problem("x", "X", "x"))

    with pytest.raises(BundleError):
        folder.change(fail, (FIVE, b"archive"))
    assert [path.name for path in folder.folder.iterdir()] == ["lock"]
    assert folder.change(lambda state: state) == State()
