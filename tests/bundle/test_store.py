"""The store: whole or not at all, by content, in one step; files that are cut off, emptied or gone."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from camguard.bundle import Bundle, ReloadOutcome, Store, load_bundle
from camguard.bundle import load as load_module
from camguard.bundle.load import Content, build_bundle, read_content
from camguard.engine.call import Call
from camguard.errors import BundleError, CamguardError
from camguard.ipset import parse_address
from camguard.policy.document import Document, parse_document
from tests.running import PATIENCE

ALLOW = {"version": "2.0", "statement": [{"effect": "allow", "action": "aiart:*", "resource": "*"}]}
DENY = {"version": "2.0", "statement": [{"effect": "deny", "action": "aiart:*", "resource": "*"}]}
PEOPLE = {"owner": {"uin": "100100", "app_id": "125"}, "users": {"100200": {"policies": ["one"]}}}
CALL = Call("uin/100200", "aiart:TextToImage", parse_address("10.0.0.1"), 0.0)
CATALOG = {
    "service": "aiart",
    "title": "Image",
    "console": True,
    "tag_authorization": False,
    "granularity": "operation",
    "ip_restriction": "supported",
    "pages": [],
    "actions": [
        {
            "name": "TextToImage",
            "access": "read",
            "granularity": "operation",
            "resources": ["*"],
            "ip_restriction": True,
            "description": "",
        }
    ],
}


def write(folder: Path, name: str, value: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    aside.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    aside.replace(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "catalog/aiart.json", CATALOG)
    write(tmp_path, "bundle/policies/one.json", ALLOW)
    write(tmp_path, "bundle/principals.json", PEOPLE)
    return tmp_path


class Clock:
    """A clock that stands still unless a test or a sleep moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def build(content: Content) -> Bundle:
    return build_bundle(content, ip_support="catalog", unknown_action="refuse")


def make(
    folder: Path, clock: Clock, *observers: Callable[[ReloadOutcome], None], max_age: float = 0
) -> Store:
    return Store(
        lambda: read_content(folder / "bundle", folder / "catalog"),
        build,
        max_age_seconds=max_age,
        observers=observers,
        clock=clock,
        monotonic=clock,
        sleep=clock.sleep,
    )


def test_the_first_poll_activates(folder: Path) -> None:
    outcomes: list[ReloadOutcome] = []
    store = make(folder, Clock(), outcomes.append)
    assert store.bundle is None
    assert store.reload().result == "success"
    assert store.bundle is not None
    assert store.bundle.decide(CALL)
    assert [outcome.revision for outcome in outcomes] == [store.bundle.revision]


def test_the_same_content_is_unchanged_whatever_its_times_say(folder: Path) -> None:
    store = make(folder, Clock())
    first = store.reload()
    os.utime(folder / "bundle/principals.json", (1, 1))
    write(folder, "bundle/policies/one.json", ALLOW)
    assert store.reload().result == "unchanged"
    assert store.bundle is first.bundle


CHANGES = [
    pytest.param("bundle/policies/one.json", DENY, id="a policy"),
    pytest.param("bundle/principals.json", {**PEOPLE, "users": {"100200": {}}}, id="the principals"),
    pytest.param("catalog/aiart.json", {**CATALOG, "actions": []}, id="the catalog"),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_another_content_takes_its_place(folder: Path, name: str, value: object) -> None:
    """From the next call on, wholly, and without a delay (DEC-49)."""
    store = make(folder, Clock())
    before = store.reload().bundle
    write(folder, name, value)
    assert store.reload().result == "success"
    assert store.bundle is not before
    assert store.bundle is not None
    assert not store.bundle.decide(CALL)
    assert before is not None
    assert before.decide(CALL), "a request that began with the old one ends with it"


def test_a_replaced_bundle_is_freed_at_the_next_poll_without_a_collection(folder: Path) -> None:
    store = make(folder, Clock())
    store.reload()
    assert store.bundle is not None
    assert store.bundle.decide(CALL)
    released = weakref.ref(store.bundle.evaluator)
    write(folder, "bundle/policies/one.json", DENY)
    gc.disable()
    try:
        store.reload()
        assert released() is not None, "a request must not be the one that frees the replaced bundle"
        store.reload()
        assert released() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("enabled", [True, False], ids=["on before", "off before"])
@pytest.mark.parametrize("policy", [DENY, {}], ids=["a good bundle", "a bad bundle"])
def test_no_garbage_is_collected_while_a_bundle_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, policy: object, enabled: bool
) -> None:
    during: list[bool] = []

    def parse(raw: bytes, source: str) -> Document:
        during.append(gc.isenabled())
        return parse_document(raw, source)

    monkeypatch.setattr(load_module, "parse_document", parse)
    write(folder, "bundle/policies/one.json", policy)
    (gc.enable if enabled else gc.disable)()
    try:
        make(folder, Clock()).reload()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert during == [False]


def _delete(path: Path) -> None:
    path.unlink()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _empty_folder(path: Path) -> None:
    for policy in path.parent.iterdir():
        policy.unlink()


FAULTS = [
    pytest.param("bundle/policies/one.json", lambda p: p.write_text(""), id="a policy emptied"),
    pytest.param("bundle/policies/one.json", lambda p: p.write_text('{"version"'), id="a policy cut off"),
    pytest.param("bundle/policies/one.json", _directory, id="a policy replaced by a directory"),
    pytest.param("bundle/policies/one.json", _empty_folder, id="T108 every policy deleted"),
    pytest.param("bundle/principals.json", _delete, id="the principals deleted"),
    pytest.param("bundle/principals.json", lambda p: p.write_text("[]"), id="the principals no object"),
    pytest.param("bundle/principals.json", lambda p: p.write_bytes(b"\xff{}"), id="the principals no UTF-8"),
    pytest.param("catalog/aiart.json", _delete, id="the catalog deleted"),
    pytest.param("catalog/aiart.json", lambda p: p.write_text("{}"), id="the catalog emptied"),
]


@pytest.mark.parametrize(("name", "spoil"), FAULTS)
def test_a_bad_change_keeps_the_last_good_bundle(
    folder: Path, name: str, spoil: Callable[[Path], object]
) -> None:
    store = make(folder, Clock())
    good = store.reload().bundle
    spoil(folder / name)
    for _ in range(2):
        outcome = store.reload()
        assert outcome.result == "failure"
        assert outcome.problems
        assert store.bundle is good
    for path, value in (("bundle/policies/one.json", DENY), ("bundle/principals.json", PEOPLE)):
        if (folder / path).is_dir():
            (folder / path).rmdir()
        write(folder, path, value)
    write(folder, "catalog/aiart.json", CATALOG)
    assert store.reload().result == "success"


def test_a_content_that_was_refused_is_not_built_again(folder: Path) -> None:
    built: list[str] = []

    def count(content: Content) -> Bundle:
        built.append(content.digest)
        return build(content)

    write(folder, "bundle/policies/one.json", "{")
    clock = Clock()
    store = Store(
        lambda: read_content(folder / "bundle", folder / "catalog"), count, clock=clock, sleep=clock.sleep
    )
    assert [store.reload().result for _ in range(3)] == ["failure"] * 3
    assert len(built) == 1


def test_every_cause_is_listed_with_its_place(folder: Path) -> None:
    write(folder, "bundle/policies/one.json", {**ALLOW, "version": 2})
    write(folder, "bundle/policies/two.json", {"version": "2.0", "statement": [{"effect": "maybe"}]})
    write(
        folder, "bundle/principals.json", {**PEOPLE, "users": {"x": {"groups": ["nobody"], "colour": "red"}}}
    )
    with pytest.raises(BundleError) as caught:
        load_bundle(folder / "bundle", folder / "catalog")
    places = [problem.where for problem in caught.value.problems]
    assert places == [
        "policies/one.json#/version",
        "policies/two.json#/statement/0/effect",
        "policies/two.json#/statement/0/action",
        "policies/two.json#/statement/0/resource",
        "principals.json#/users/x/colour",
        "principals.json#/users/x",
        "principals.json#/users/x/groups/0",
    ]


def test_a_folder_that_keeps_changing_is_left_for_the_next_poll(folder: Path) -> None:
    clock, numbers, changing = Clock(), count(), False

    def read() -> Content:
        content = read_content(folder / "bundle", folder / "catalog")
        return Content(content.files, content.catalog, str(next(numbers)) if changing else content.digest)

    store = Store(read, build, clock=clock, monotonic=clock, sleep=clock.sleep)
    good = store.reload().bundle
    changing = True
    assert store.reload().result == "failure"
    assert store.bundle is good


def test_a_swapped_symlink_is_one_change(folder: Path) -> None:
    write(folder, "next/policies/one.json", DENY)
    write(folder, "next/principals.json", PEOPLE)
    link = folder / "current"
    link.symlink_to("bundle")
    clock = Clock()
    store = Store(lambda: read_content(link, folder / "catalog"), build, clock=clock, sleep=clock.sleep)
    assert store.reload().result == "success"
    aside = folder / "current.new"
    aside.symlink_to("next")
    aside.replace(link)
    assert store.reload().result == "success"
    assert store.bundle is not None
    assert not store.bundle.decide(CALL)


def test_age_counts_from_the_last_look_that_confirmed(folder: Path) -> None:
    clock = Clock()
    store = make(folder, clock, max_age=60)
    store.reload()
    clock.now += 59
    assert not store.stale
    assert store.reload().result == "unchanged"
    clock.now += 59
    assert not store.stale
    write(folder, "bundle/principals.json", "{")
    store.reload()
    clock.now += 2
    assert store.stale


def test_an_observer_that_raises_ends_nothing_and_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: ReloadOutcome) -> None:
        raise RuntimeError

    outcomes: list[ReloadOutcome] = []
    store = make(folder, Clock(), broken, outcomes.append)
    assert store.reload().result == "success"
    assert len(outcomes) == 1
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "an observer of reloads failed; polling goes on")
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError


def test_a_fault_of_our_own_is_a_failure_and_no_crash(folder: Path) -> None:
    def fault(_: Content) -> Bundle:
        raise ZeroDivisionError

    clock = Clock()
    store = Store(
        lambda: read_content(folder / "bundle", folder / "catalog"), fault, clock=clock, sleep=clock.sleep
    )
    outcome = store.reload()
    assert outcome.result == "failure"
    assert "ZeroDivisionError" in str(outcome.problems[0])


@pytest.fixture
def polling(folder: Path) -> Iterator[Store]:
    store = Store(lambda: read_content(folder / "bundle", folder / "catalog"), build, poll_seconds=0.05)
    store.reload()
    store.start()
    store.start()
    yield store
    store.stop()
    assert not any(thread.name == "camguard-policy" for thread in threading.enumerate())


def test_a_look_that_hangs_is_not_waited_for_at_the_end(folder: Path) -> None:
    goes_on, looking = threading.Event(), threading.Event()

    def read() -> Content:
        looking.set()
        goes_on.wait()
        return read_content(folder / "bundle", folder / "catalog")

    store = Store(read, build, poll_seconds=0.01)
    store.start()
    assert looking.wait(PATIENCE)
    store.stop(0.1)
    goes_on.set()


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_polling_finds_a_change_by_itself(folder: Path, polling: Store) -> None:
    write(folder, "bundle/policies/one.json", DENY)
    assert until(lambda: polling.bundle is not None and not polling.bundle.decide(CALL))


def test_a_request_wakes_the_poll(folder: Path) -> None:
    store = Store(lambda: read_content(folder / "bundle", folder / "catalog"), build, poll_seconds=3600)
    store.reload()
    store.start()
    write(folder, "bundle/policies/one.json", DENY)
    store.request()
    assert until(lambda: store.bundle is not None and not store.bundle.decide(CALL))
    store.stop()


@pytest.mark.parametrize(
    "name", ["no/such/folder", "bundle/principals.json"], ids=["no folder at all", "a file for a folder"]
)
def test_no_bundle_there(folder: Path, name: str) -> None:
    with pytest.raises(CamguardError, match=r"principals\.json"):
        load_bundle(folder / name, folder / "catalog")


def test_a_file_too_large_is_not_read(folder: Path) -> None:
    write(folder, "bundle/policies/huge.json", " " * (4 << 20) + "{}")
    with pytest.raises(BundleError, match="too large"):
        load_bundle(folder / "bundle", folder / "catalog")
