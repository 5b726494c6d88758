"""A bundle from a URL: its order, what is kept, pins, and what happens while the source is away."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any, Literal

import pytest

from camguard.bundle import Bundle, ReloadOutcome, Store
from camguard.bundle.archive import Archive, read_archive, write_archive
from camguard.bundle.fetch import Fetched
from camguard.bundle.last_good import STATE, LastGood, Pin, State
from camguard.bundle.load import Content, build_bundle
from camguard.bundle.remote import BACKOFF_SECONDS, RemoteSource, SourceFacts
from camguard.bundle.signature import read_sign_key, read_verify_key
from camguard.engine.call import Call
from camguard.errors import BundleError, Problem
from camguard.ipset import parse_address
from tests.bundle.archives import FILES
from tests.bundle.test_store import CATALOG, Clock, write
from tests.company import USER, allow, deny, document

URL = "http://source.example/b.tar.gz?sign=s3cr3t"
CALL = Call(USER, "aiart:TextToImage", parse_address("10.0.0.1"), 0.0)
ALLOWS = FILES
DENIES = {**FILES, "policies/one.json": document(deny()).encode()}
BROKEN = {**FILES, "policies/one.json": b"{"}
OTHER = {**FILES, "policies/two.json": document(allow()).encode()}


class Web:
    """A source that offers one archive, or is away. asked: the ETag of each request."""

    def __init__(self) -> None:
        self.raw: bytes | None = None
        self.asked: list[str] = []

    def offer(self, files: Mapping[str, bytes], serial: int, **further: Any) -> None:
        self.raw = write_archive(files, serial, **further)

    def __call__(self, url: str, etag: str) -> Fetched | Literal["not modified"]:
        assert url == URL
        self.asked.append(etag)
        if self.raw is None:
            raise BundleError(Problem("the source", "SourceError", "is away"))
        ours = f'"{hash(self.raw)}"'
        return "not modified" if etag == ours else Fetched(self.raw, ours)


class Stage:
    """A store that polls `web`. A new one is what a restart makes."""

    def __init__(self, folder: Path, web: Web, clock: Clock, *, max_age: float = 0, **named: Any) -> None:
        self.web = web
        self.clock = clock
        self.outcomes: list[ReloadOutcome] = []
        self.kept = LastGood(folder / "kept")
        self.source = RemoteSource(
            URL,
            folder / "catalog",
            **{"last_good": self.kept, "fetcher": web, "max_age": max_age > 0, **named},
            clock=clock,
            monotonic=clock,
        )
        self.store = Store(
            self.source.read,
            build,
            source=self.source,
            max_age_seconds=max_age,
            observers=(self.outcomes.append,),
            sleep=clock.sleep,
            clock=clock,
            monotonic=clock,
        )

    def poll(self, *, forced: bool = False) -> str:
        """Poll once and return the result with whether the call is allowed."""
        if forced:
            self.store.force()
        outcome = self.store.reload()
        bundle = self.store.bundle
        decision = "nothing" if bundle is None else "allow" if bundle.decide(CALL) else "deny"
        return f"{outcome.result}: {decision}"

    @property
    def problems(self) -> str:
        return " ".join(map(str, self.outcomes[-1].problems))

    @property
    def warnings(self) -> str:
        return " ".join(map(str, self.outcomes[-1].warnings))

    @property
    def facts(self) -> Any:
        return self.outcomes[-1].source


def build(content: Content) -> Bundle:
    return build_bundle(content, ip_support="catalog", unknown_action="refuse")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "catalog/aiart.json", CATALOG)
    return tmp_path


@pytest.fixture
def web() -> Web:
    return Web()


def test_an_archive_is_activated_and_then_not_modified(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    assert [stage.poll(), stage.poll()] == ["success: allow", "unchanged: allow"]
    assert web.asked == ["", f'"{hash(web.raw)}"']
    assert dict(stage.facts.fetches) == {"fetched": 1, "not_modified": 1, "failure": 0}
    web.offer(DENIES, 2)
    assert stage.poll() == "success: deny"
    assert (stage.facts.serial, stage.facts.offered_serial, stage.facts.differs) == (2, 2, False)


# files and serial that the source offers while serial 5 is in force, the problem
ORDER = [
    pytest.param(DENIES, 4, "the serial 4 is lower than 5", id="T109 a lower serial"),
    pytest.param(ALLOWS, 4, "the serial 4 is lower than 5", id="T109 a lower serial with the same content"),
    pytest.param(DENIES, 5, "another bundle with the serial 5", id="T109 the same serial, another content"),
]


@pytest.mark.parametrize(("files", "serial", "problem"), ORDER)
def test_only_newer_bundles_take_its_place(
    files: Mapping[str, bytes], serial: int, problem: str, folder: Path, web: Web
) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 5)
    stage.poll()
    web.offer(files, serial)
    assert stage.poll() == "failure: allow"
    assert problem in stage.problems
    assert "s3cr3t" not in stage.problems
    assert stage.facts.differs
    again = Stage(folder, web, Clock())
    assert again.poll() == "success: allow", "after a restart the last good bundle is in force"
    assert problem in again.warnings


def test_the_highest_serial_counts_even_if_the_content_is_the_same(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    stage.poll()
    web.offer(ALLOWS, 7)
    assert stage.poll() == "unchanged: allow"
    assert stage.facts.serial == 7
    web.offer(DENIES, 6)
    assert stage.poll() == "failure: allow"


def test_a_forced_reload_accepts_an_older_bundle_once(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 5)
    stage.poll()
    web.offer(DENIES, 4)
    assert stage.poll(forced=True) == "success: deny"
    assert stage.poll() == "unchanged: deny"
    assert Stage(folder, web, Clock()).poll() == "success: deny"
    web.offer(ALLOWS, 3)
    assert stage.poll() == "failure: deny"


def test_a_failed_activation_does_not_hide_behind_not_modified(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    stage.poll()
    active = f'"{hash(web.raw)}"'
    web.offer(BROKEN, 2)
    assert [stage.poll() for _ in range(3)] == ["failure: allow"] * 3
    assert web.asked[1:] == [active] * 3, "the ETag is that of the bundle in force"
    assert stage.source.wait_seconds() > 2.0 * 2**2 / 2, "and the next poll is later than after a success"
    assert (stage.facts.serial, stage.facts.offered_serial, stage.facts.differs) == (1, 2, True)
    web.offer(DENIES, 3)
    assert stage.poll() == "success: deny"


def test_bytes_that_are_no_archive_change_nothing(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    stage.poll()
    good = web.raw
    assert good is not None
    for wrong in (b"", b"<html>", good[:-9], good + b"x", bytes(1 << 20)):
        web.raw = wrong
        assert stage.poll() == "failure: allow"
        assert stage.facts.differs
    web.raw = good
    assert stage.poll() == "unchanged: allow"
    assert not stage.facts.differs


def test_t109_only_a_signed_archive_is_accepted_from_the_disk_too(folder: Path, web: Web) -> None:
    secret = folder / "key"
    secret.write_text("5e" * 32)
    secret.chmod(0o600)
    sign, verify = read_sign_key(secret), read_verify_key(secret)
    stage = Stage(folder, web, Clock(), key=verify)
    web.offer(ALLOWS, 1, key=sign)
    assert stage.poll() == "success: allow"
    web.offer(DENIES, 2)
    assert stage.poll() == "failure: allow"
    assert "is not signed" in stage.problems
    (kept,) = (folder / "kept").glob("1-*.tar.gz")
    kept.write_bytes(write_archive(ALLOWS, 1))
    web.raw = None
    assert Stage(folder, web, Clock(), key=verify).poll() == "failure: nothing"


def test_the_last_good_bundle_is_used_while_the_source_is_away(folder: Path, web: Web) -> None:
    web.offer(ALLOWS, 1)
    Stage(folder, web, Clock()).poll()
    raw, web.raw = web.raw, None
    stage = Stage(folder, web, Clock())
    assert stage.poll() == "success: allow"
    assert "is away" in stage.warnings
    assert stage.facts.from_disk
    assert stage.poll() == "failure: allow"
    web.raw = raw
    assert stage.poll() == "unchanged: allow"
    assert not stage.facts.from_disk


def test_without_a_folder_nothing_is_in_force_while_the_source_is_away(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock(), last_good=None)
    assert stage.poll() == "failure: nothing"
    web.offer(ALLOWS, 1)
    assert stage.poll() == "success: allow"
    assert not (folder / "kept").exists()


def test_what_is_kept_are_the_received_bytes(folder: Path, web: Web) -> None:
    web.offer(ALLOWS, 1)
    Stage(folder, web, Clock()).poll()
    (kept,) = (folder / "kept").glob("*.tar.gz")
    assert kept.read_bytes() == web.raw
    others = {path.name for path in (folder / "kept").iterdir()} - {kept.name}
    assert others == {STATE, "lock"}, "no file of the archive is extracted"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_wrong_bundle_at_the_start_leaves_the_last_good_one(folder: Path, web: Web) -> None:
    web.offer(ALLOWS, 1)
    Stage(folder, web, Clock()).poll()
    web.offer(BROKEN, 2)
    stage = Stage(folder, web, Clock())
    assert [stage.poll(), stage.poll(), stage.poll()] == [
        "failure: nothing",
        "success: allow",
        "failure: allow",
    ]
    assert stage.facts.differs


def test_a_damaged_archive_on_disk_is_refused(folder: Path, web: Web) -> None:
    web.offer(ALLOWS, 1)
    Stage(folder, web, Clock()).poll()
    (kept,) = (folder / "kept").glob("*.tar.gz")
    kept.write_bytes(kept.read_bytes()[:-5])
    web.raw = None
    stage = Stage(folder, web, Clock())
    assert stage.poll() == "failure: nothing"
    assert "is away" in stage.problems
    assert "cut off" in stage.problems


def test_a_state_that_is_damaged_is_no_empty_state(folder: Path, web: Web) -> None:
    """An order that is forgotten would let an older bundle in (T109)."""
    web.offer(ALLOWS, 5)
    running = Stage(folder, web, Clock())
    running.poll()
    (folder / "kept" / STATE).write_text("{")
    web.offer(DENIES, 4)
    assert running.poll() == "failure: allow", "a running process remembers the order"
    stage = Stage(folder, web, Clock())
    assert stage.poll() == "failure: nothing"
    assert "remove the file to forget the order" in stage.problems


def refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make the disk full: no file can be written any more, until the patch is undone."""
    monkeypatch.setattr("camguard.bundle.last_good.os.fsync", refuse)
    return monkeypatch


def test_a_full_disk_stops_no_activation_and_is_counted(
    folder: Path, web: Web, full: pytest.MonkeyPatch
) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    assert stage.poll() == "success: allow"
    assert "cannot be kept: No space left on device" in stage.warnings
    web.offer(DENIES, 2)
    assert stage.poll() == "success: deny"
    web.offer(ALLOWS, 1)
    assert stage.poll() == "failure: deny", "the order is remembered without the disk"
    assert stage.facts.writes["failure"] >= 2
    assert list((folder / "kept").glob(".*")) == []
    web.offer(DENIES, 2)
    full.undo()
    assert stage.poll() == "unchanged: deny"
    web.raw = None
    assert Stage(folder, web, Clock()).poll() == "success: deny", "the next poll has written what was missing"


def test_the_age_counts_from_the_last_word_of_the_source(folder: Path, web: Web) -> None:
    clock = Clock()
    web.offer(ALLOWS, 1)
    stage = Stage(folder, web, clock, max_age=10)
    stage.poll()
    clock.now += 9
    stage.poll()
    clock.now += 9
    assert not stage.store.stale, "not modified refreshes the age"
    web.raw = None
    again = Stage(folder, web, clock, max_age=10)
    assert again.poll() == "success: allow"
    assert not again.store.stale, "a restart does not forget when the source was last confirmed"
    clock.now += 2
    assert again.store.stale, "and does not begin to count anew"


def test_a_confirmation_of_the_future_counts_as_none(folder: Path, web: Web) -> None:
    clock = Clock()
    web.offer(ALLOWS, 1)
    Stage(folder, web, clock, max_age=10).poll()
    web.raw = None
    clock.now -= 500
    stage = Stage(folder, web, clock, max_age=10)
    stage.poll()
    assert stage.store.stale


def test_past_its_validity_nothing_refreshes_the_age(folder: Path, web: Web) -> None:
    clock = Clock()
    web.offer(ALLOWS, 1, valid_until="1970-01-01T00:17:00Z")  # 20 seconds after the clock
    stage = Stage(folder, web, clock, max_age=10)
    stage.poll()
    assert stage.facts.valid_until == 1020
    clock.now += 19
    stage.poll()
    clock.now += 10
    stage.poll()
    assert not stage.store.stale
    assert "the validity of the bundle has ended" in stage.warnings
    clock.now += 2
    stage.poll()
    assert stage.store.stale
    web.offer(ALLOWS, 2)
    stage.poll()
    assert not stage.store.stale


def test_another_catalog_builds_the_bundle_again_from_memory(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    stage.poll()
    before = stage.outcomes[-1].revision
    write(folder, "catalog/aiart.json", {**CATALOG, "title": "Other"})
    assert stage.poll() == "success: allow"
    assert stage.outcomes[-1].revision != before
    assert stage.poll() == "unchanged: allow"


def pin(stage: Stage, name: str = "") -> None:
    stage.kept.change(lambda state: state.with_pin(state.find(name)))


def test_a_pin_holds_until_a_newer_serial(folder: Path, web: Web) -> None:
    stage, other = Stage(folder, web, Clock()), Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    stage.poll()
    web.offer(DENIES, 2)
    stage.poll()
    other.poll()
    pin(stage)
    assert [stage.poll(), stage.poll(), other.poll()] == [
        "success: allow",
        "unchanged: allow",
        "success: allow",
    ]
    assert stage.facts.pinned
    assert stage.facts.differs
    assert Stage(folder, web, Clock()).poll() == "success: allow", "a pin outlives a restart"
    web.raw, raw = None, web.raw
    assert Stage(folder, web, Clock()).poll() == "success: allow", "also while the source is away"
    web.raw = raw
    web.offer(BROKEN, 3)
    assert stage.poll() == "failure: allow", "a bundle that cannot be activated releases no pin"
    assert stage.poll() == "failure: allow"
    web.offer(OTHER, 4)
    assert stage.poll() == "success: allow"
    assert (stage.facts.pinned, stage.facts.serial) == (False, 4)
    assert LastGood(folder / "kept").read().pin is None
    assert other.poll() == "success: allow"
    assert (other.facts.pinned, other.facts.serial) == (False, 4)


def test_a_pin_that_a_newer_serial_released_does_not_return_from_a_full_disk(
    folder: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(folder, web, Clock())
    for serial, files in ((1, ALLOWS), (2, DENIES)):
        web.offer(files, serial)
        stage.poll()
    pin(stage)
    assert stage.poll() == "success: allow"
    monkeypatch.setattr("camguard.bundle.last_good.os.fsync", refuse)
    web.offer({**DENIES, "policies/two.json": document(deny()).encode()}, 3)
    assert [stage.poll() for _ in range(3)] == ["success: deny", "unchanged: deny", "unchanged: deny"]
    assert (stage.facts.pinned, stage.facts.serial) == (False, 3)
    monkeypatch.undo()
    assert stage.poll() == "unchanged: deny"
    assert LastGood(folder / "kept").read().pin is None
    pin(stage)
    assert stage.poll() == "success: allow", "a pin that an operator sets afterwards counts"
    assert stage.facts.pinned


def test_a_pin_that_is_set_during_an_activation_stays(folder: Path, web: Web) -> None:
    """Another process of the instance, or an operator, pins while this process fetches."""
    one = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    one.poll()

    def pinning(url: str, etag: str) -> Fetched | Literal["not modified"]:
        pin(one, "1")
        return web(url, etag)

    other = Stage(folder, web, Clock(), fetcher=pinning)
    other.poll()
    web.offer(DENIES, 2)
    one.poll()
    LastGood(folder / "kept").change(lambda state: state._replace(pin=None))
    assert other.poll() == "success: deny", "this poll began before the pin"
    assert [other.poll(), one.poll()] == ["success: allow"] * 2
    assert other.facts.pinned


def test_a_released_pin_gives_way_to_what_the_source_offers(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    for serial, files in ((1, ALLOWS), (2, DENIES)):
        web.offer(files, serial)
        stage.poll()
    pin(stage, "1")
    assert stage.poll() == "success: allow"
    stage.poll()
    LastGood(folder / "kept").change(lambda state: state._replace(pin=None))
    assert stage.poll() == "success: deny"


def test_while_a_bundle_is_pinned_the_offered_one_is_not_fetched_again(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    for serial, files in ((1, ALLOWS), (2, DENIES)):
        web.offer(files, serial)
        stage.poll()
    pin(stage)
    stage.poll()
    stage.poll()
    before = dict(stage.facts.fetches)
    for _ in range(5):
        assert stage.poll() == "unchanged: allow"
    assert stage.facts.fetches["fetched"] == before["fetched"]


def test_failures_make_polls_rarer_and_a_success_ends_that(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock(), poll_seconds=2.0)
    web.offer(ALLOWS, 1)
    stage.poll()
    assert all(1.8 <= stage.source.wait_seconds() <= 2.0 for _ in range(100))
    raw, web.raw = web.raw, None
    pauses = []
    for _ in range(40):
        stage.poll()
        pauses.append(stage.source.wait_seconds())
    assert all(1.0 <= pause <= BACKOFF_SECONDS for pause in pauses)
    assert min(pauses[10:]) >= BACKOFF_SECONDS / 2
    assert len({round(pause, 3) for pause in pauses}) > 10, "the processes of a fleet do not return at once"
    web.raw = raw
    stage.poll()
    assert stage.source.wait_seconds() <= 2.0


def test_ten_bundles_are_kept(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    for serial in range(1, 15):
        web.offer({**FILES, f"policies/p{serial}.json": document(allow()).encode()}, serial)
        stage.poll()
    state = LastGood(folder / "kept").read()
    assert [each.serial for each in state.kept] == [*range(14, 4, -1)]
    files = {path.name for path in (folder / "kept").glob("*.tar.gz")}
    assert files == {each.file for each in state.kept}
    assert json.loads((folder / "kept" / STATE).read_text())["highest"]["serial"] == 14


# the name of a bundle, which serial it names; or the problem
NAMES = [
    pytest.param("", 2, id="no name: the one before"),
    pytest.param("1", 1, id="a serial"),
    pytest.param("9", "is no kept bundle", id="a serial that is not kept"),
    pytest.param("12", "is no kept bundle", id="digits that are no serial"),
]


@pytest.mark.parametrize(("name", "found"), NAMES)
def test_a_kept_bundle_has_names(name: str, found: int | str, folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    for serial, files in ((1, ALLOWS), (2, DENIES), (3, OTHER)):
        web.offer(files, serial)
        stage.poll()
    state = LastGood(folder / "kept").read()
    if isinstance(found, int):
        assert state.find(name).serial == found
    else:
        with pytest.raises(BundleError, match=found):
            state.find(name)
    for each in state.kept:
        assert state.find(each.revision[:12]) == each
        assert state.find(each.digest) == each


# One source without a store: what each call returns, and what is kept between calls.

NO_FACTS = SourceFacts(
    serial=0,
    offered_serial=0,
    differs=False,
    pinned=False,
    valid_until=None,
    from_disk=False,
    fetches={"fetched": 0, "not_modified": 0, "failure": 0},
    writes={"success": 0, "failure": 0},
)


def source_of(folder: Path, web: Web, **named: Any) -> RemoteSource:
    """Return a source with a folder of last good bundles, and its defaults."""
    clock = Clock()
    given = {
        "last_good": LastGood(folder / "kept"),
        "fetcher": web,
        "clock": clock,
        "monotonic": clock,
        **named,
    }
    return RemoteSource(URL, folder / "catalog", **given)


def activate(source: RemoteSource) -> Content:
    """Read the content that should be in force, put it in force, and return it."""
    content = source.read()
    source.activated(content)
    source.polled(failed=False)
    return content


def test_before_the_first_poll_there_are_no_facts(folder: Path, web: Web) -> None:
    source = source_of(folder, web)
    assert source.facts == NO_FACTS
    assert source.warnings == ()
    assert source.age() == inf


def test_what_was_never_read_is_not_activated(folder: Path, web: Web) -> None:
    source = source_of(folder, web)
    source.activated(Content({}, {}, "x"))
    source.polled(failed=False)
    assert source.facts == NO_FACTS
    assert not (folder / "kept").exists()


def test_a_reading_that_fails_leaves_nothing_to_activate(folder: Path, web: Web) -> None:
    source = source_of(folder, web)
    web.offer(ALLOWS, 1)
    content = source.read()
    web.raw = None
    with pytest.raises(BundleError, match="is away"):
        source.read()
    source.activated(content)
    source.polled(failed=True)
    assert (source.facts.serial, source.facts.offered_serial) == (0, 1)


def test_by_default_nothing_is_kept_and_the_tests_of_the_bundle_are_left_out(folder: Path, web: Web) -> None:
    web.offer({**ALLOWS, "tests/a.toml": b"x = 1"}, 1)
    source = RemoteSource(URL, folder / "catalog", fetcher=web)
    content = activate(source)
    assert dict(content.tests) == {}
    assert set(content.files) == set(ALLOWS)
    assert source.facts.writes == {"success": 0, "failure": 0}
    assert not (folder / "kept").exists()
    assert 1.8 <= source.wait_seconds() <= 2.0


def test_the_tests_of_the_bundle_are_part_of_the_content_where_they_are_asked_for(
    folder: Path, web: Web
) -> None:
    web.offer({**ALLOWS, "tests/a.toml": b"x = 1"}, 1)
    content = source_of(folder, web, tests=True).read()
    assert dict(content.tests) == {"tests/a.toml": b"x = 1"}


# whether the age of a bundle is limited, and whether the moment of a confirmation is kept on disk
@pytest.mark.parametrize("max_age", [False, True], ids=["an age without a limit", "a limited age"])
def test_the_moment_of_a_confirmation_is_kept_where_the_age_is_limited(
    max_age: bool, folder: Path, web: Web
) -> None:
    web.offer(ALLOWS, 1)
    source_of(folder, web, **({"max_age": True} if max_age else {})).read()
    assert LastGood(folder / "kept").confirmed() == (1000.0 if max_age else None)


def test_an_order_is_forced_for_one_activation(folder: Path, web: Web) -> None:
    source = source_of(folder, web)
    web.offer(ALLOWS, 5)
    activate(source)
    source.force()
    web.offer(DENIES, 4)
    source.activated(source.read())
    web.offer(ALLOWS, 3)
    with pytest.raises(BundleError, match="the serial 3 is lower than 4"):
        source.read()


def test_an_order_is_forced_for_one_poll_also_if_that_fails(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 5)
    stage.poll()
    web.raw = None
    assert stage.poll(forced=True) == "failure: allow"
    web.offer(DENIES, 4)
    assert stage.poll() == "failure: allow"
    assert "the serial 4 is lower than 5" in stage.problems


def test_a_forced_bundle_is_the_newest_from_then_on(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 5)
    stage.poll()
    web.offer(DENIES, 4)
    stage.poll(forced=True)
    assert LastGood(folder / "kept").read().highest[0] == 4
    again = Stage(folder, web, Clock())
    assert again.poll() == "success: deny"
    assert again.warnings == ""


# how many polls have failed, the seconds between polls, and the next pause where the random number is 0.5
PAUSES = [
    pytest.param(0, 2.0, 1.9, id="after a success"),
    pytest.param(1, 2.0, 3.0, id="after a failure"),
    pytest.param(2, 2.0, 6.0, id="after two failures"),
    pytest.param(3, 2.0, 12.0, id="after three failures"),
    pytest.param(4, 2.0, 22.5, id="30 seconds at most after four failures"),
    pytest.param(40, 2.0, 22.5, id="30 seconds at most after forty failures"),
    pytest.param(3, 60.0, 45.0, id="no longer than the seconds between polls where these are more than 30"),
    pytest.param(40, 2.0**-16, 0.75, id="sixteen times twice as long at most"),
]


@pytest.mark.parametrize(("failures", "poll_seconds", "pause"), PAUSES)
def test_the_pause_between_polls(
    failures: int, poll_seconds: float, pause: float, folder: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camguard.bundle.remote.randbelow", lambda most: most // 2)
    source = source_of(folder, web, poll_seconds=poll_seconds)
    for _ in range(failures):
        source.polled(failed=True)
    assert source.wait_seconds() == pytest.approx(pause)
    source.polled(failed=False)
    assert source.wait_seconds() == pytest.approx(poll_seconds * 0.95)


def test_a_random_number_is_one_of_65536(folder: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw(most: int) -> int:
        drawn.append(most)
        return 1 << 15

    monkeypatch.setattr("camguard.bundle.remote.randbelow", draw)
    assert source_of(folder, web).wait_seconds() == pytest.approx(1.9)
    assert drawn == [1 << 16]


# Problems and their places

SHOWN = "http://source.example/b.tar.gz?..."


def test_a_source_that_is_away_at_the_first_start_is_the_only_problem(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    assert stage.poll() == "failure: nothing"
    assert stage.outcomes[-1].problems == (Problem("the source", "SourceError", "is away"),)
    assert stage.facts.fetches == {"fetched": 0, "not_modified": 0, "failure": 1}


def test_a_source_that_has_modified_nothing_before_it_was_asked_is_wrong(folder: Path) -> None:
    stage = Stage(folder, Web(), Clock(), fetcher=lambda *_: "not modified")
    assert stage.poll() == "failure: nothing"
    message = "the source answers that nothing is modified, and nothing was fetched yet"
    assert stage.outcomes[-1].problems == (Problem(SHOWN, "SourceError", message),)


ORDER_CODE = "BundleOrderError"
LOWER = (
    "the serial 4 is lower than 5, that of a bundle which was accepted before; "
    "force it if an older bundle is meant"
)

# what the source offers after serial 5; code and text of the problem
OFFERS = [
    pytest.param(DENIES, 4, ORDER_CODE, LOWER, id="T109 a lower serial"),
    pytest.param(
        DENIES,
        5,
        ORDER_CODE,
        "another bundle with the serial 5 was accepted before",
        id="T109 another bundle",
    ),
]


@pytest.mark.parametrize(("files", "serial", "code", "message"), OFFERS)
def test_a_refused_order_has_a_code_of_its_own(
    files: Mapping[str, bytes], serial: int, code: str, message: str, folder: Path, web: Web
) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 5)
    stage.poll()
    web.offer(files, serial)
    stage.poll()
    assert stage.outcomes[-1].problems == (Problem(SHOWN, code, message),)


def test_t108_an_archive_without_policies_is_refused_with_its_place(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer({"principals.json": ALLOWS["principals.json"]}, 1)
    assert stage.poll() == "failure: nothing"
    where = f"{SHOWN}: the archive/policies"
    assert stage.outcomes[-1].problems == (Problem(where, "BundleError", "holds no policy (<id>.json)"),)


def test_an_archive_that_cannot_be_read_is_placed_at_the_url(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.raw = b""
    stage.poll()
    problem = Problem(f"{SHOWN}: the archive", "ArchiveError", "ends too early: it was cut off")
    assert stage.outcomes[-1].problems == (problem,)
    stage.poll()
    assert stage.outcomes[-1].problems == (problem,), "and is not read again"


def test_warnings_are_those_of_the_last_poll(folder: Path, web: Web, full: pytest.MonkeyPatch) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1, valid_until="2999-01-01T00:00:00Z")
    stage.poll()
    warning = Problem(
        str(folder / "kept"), "LastGoodError", "the bundle cannot be kept: No space left on device"
    )
    assert stage.outcomes[-1].warnings == (warning,)
    full.undo()
    stage.poll()
    stage.poll()
    assert stage.warnings == ""
    assert stage.facts.writes["success"] == 1, "what is on disk is not written again"
    web.raw, raw = None, web.raw
    again = Stage(folder, web, Clock())
    again.poll()
    assert again.outcomes[-1].warnings == (Problem("the source", "SourceError", "is away"),)
    web.raw = raw
    again.poll()
    assert again.warnings == ""


def test_a_state_that_could_not_be_kept_is_written_later_although_no_bundle_is_in_force(
    folder: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(folder, web, max_age=True)
    monkeypatch.setattr("camguard.bundle.last_good.os.utime", refuse)
    web.offer(BROKEN, 1)
    source.read()  # the moment of the confirmation cannot be kept
    monkeypatch.undo()
    source.polled(failed=True)
    assert source.facts.writes == {"success": 1, "failure": 1}
    assert LastGood(folder / "kept").read() == State()


# The same bytes


def recompressed(raw: bytes | None) -> bytes:
    """Return an archive with the same members and other bytes."""
    assert raw is not None
    return gzip.compress(gzip.decompress(raw), compresslevel=1)


class Plain(Web):
    """A source that sends the archive each time. etag: which it sends along."""

    def __init__(self) -> None:
        super().__init__()
        self.etag = ""

    def __call__(self, url: str, etag: str) -> Fetched | Literal["not modified"]:
        super().__call__(url, etag)
        assert self.raw is not None
        return Fetched(self.raw, self.etag)


GOOD_RAW, BROKEN_RAW = write_archive(ALLOWS, 1), write_archive(BROKEN, 2)

# what the source sends one after the other; how many archives are unpacked
UNPACKED = [
    pytest.param([GOOD_RAW], 1, id="an archive"),
    pytest.param([GOOD_RAW] * 3, 1, id="the archive in force again"),
    pytest.param([GOOD_RAW, b"x", b"x", b"x"], 2, id="bytes that are no archive again"),
    pytest.param([GOOD_RAW, b"x", GOOD_RAW, b"x"], 3, id="other bytes in between"),
    pytest.param([GOOD_RAW, b"x", BROKEN_RAW, b"x"], 4, id="another archive in between"),
    pytest.param([BROKEN_RAW, BROKEN_RAW], 2, id="an archive that cannot be activated"),
    pytest.param([GOOD_RAW, BROKEN_RAW, BROKEN_RAW], 3, id="the offered archive again"),
    pytest.param([GOOD_RAW, BROKEN_RAW, GOOD_RAW], 2, id="the archive in force after another one"),
]


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the archives that a source has unpacked."""
    found = []

    def noted(raw: bytes, **named: Any) -> Archive:
        found.append(raw)
        return read_archive(raw, **named)

    monkeypatch.setattr("camguard.bundle.remote.read_archive", noted)
    return found


@pytest.mark.parametrize(("sent", "count"), UNPACKED)
def test_the_same_bytes_are_unpacked_once(
    sent: list[bytes], count: int, folder: Path, unpacked: list[bytes]
) -> None:
    web = Plain()
    stage = Stage(folder, web, Clock())
    for raw in sent:
        web.raw = raw
        stage.poll()
        assert stage.facts.differs is (stage.outcomes[-1].result == "failure")
    assert len(unpacked) == count


def test_an_archive_that_a_pin_holds_back_is_unpacked_once(folder: Path, unpacked: list[bytes]) -> None:
    web = Plain()
    stage = Stage(folder, web, Clock())
    for serial, files in ((1, ALLOWS), (2, DENIES)):
        web.offer(files, serial)
        stage.poll()
    pin(stage)
    stage.poll()
    unpacked.clear()
    web.offer(DENIES, 2, valid_until="2999-01-01T00:00:00Z")
    assert [stage.poll() for _ in range(3)] == ["unchanged: allow"] * 3
    assert unpacked == [web.raw]


def test_the_content_of_the_bundle_in_force_is_the_same_object(folder: Path) -> None:
    web = Plain()
    source = source_of(folder, web)
    web.offer(ALLOWS, 1)
    first = activate(source)
    second = source.read()
    assert (second.digest, dict(second.files)) == (first.digest, {}), "the files are not kept in memory"
    assert source.read() is second
    web.raw = recompressed(web.raw)
    assert source.read() is second, "the same bundle in other bytes"


def test_the_last_etag_of_the_bundle_in_force_is_sent_back(folder: Path) -> None:
    web = Plain()
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    web.etag = '"1"'
    stage.poll()
    web.etag = '"2"'
    assert stage.poll() == "unchanged: allow"
    web.raw, web.etag = recompressed(web.raw), '"3"'
    assert stage.poll() == "unchanged: allow"
    stage.poll()
    assert web.asked == ["", '"1"', '"2"', '"3"']


def test_a_bundle_from_the_disk_has_no_etag(folder: Path, web: Web) -> None:
    web.offer(ALLOWS, 1)
    Stage(folder, web, Clock()).poll()
    web.raw = None
    stage = Stage(folder, web, Clock())
    stage.poll()
    stage.poll()
    assert web.asked == ["", "", ""]


def test_a_new_revision_of_the_same_archive_is_kept(folder: Path, web: Web) -> None:
    stage = Stage(folder, web, Clock())
    web.offer(ALLOWS, 1)
    stage.poll()
    write(folder, "catalog/aiart.json", {**CATALOG, "title": "Other"})
    stage.poll()
    (kept,) = LastGood(folder / "kept").read().kept
    assert kept.revision == stage.outcomes[-1].revision
    assert stage.facts.writes["success"] == 2


# Pins


@pytest.fixture
def two(folder: Path, web: Web) -> Stage:
    """Return a stage where serial 2, which denies, is in force after serial 1, which allows."""
    stage = Stage(folder, web, Clock(), max_age=10)
    for serial, files in ((1, ALLOWS), (2, DENIES)):
        web.offer(files, serial)
        assert stage.poll().startswith("success")
    return stage


def on_disk(stage: Stage) -> State:
    return stage.kept.read()


def test_a_pin_of_the_newest_bundle_in_force_is_released(two: Stage) -> None:
    pin(two, "2")
    assert two.poll() == "unchanged: deny"
    assert on_disk(two).pin is None
    assert not two.facts.pinned


def test_a_pin_stays_while_the_source_offers_the_pinned_bundle_again(two: Stage, web: Web) -> None:
    pin(two, "1")
    assert two.poll() == "success: allow"
    web.offer(ALLOWS, 1)
    assert two.poll() == "unchanged: allow"
    assert on_disk(two).pin is not None
    assert two.facts.pinned
    LastGood(two.kept.folder).change(lambda state: state._replace(pin=None))
    assert two.poll() == "unchanged: allow", "the source confirms the bundle in force, whatever its serial"


def test_a_newer_bundle_that_cannot_be_activated_leaves_the_pin(two: Stage, web: Web) -> None:
    pin(two, "1")
    two.poll()
    web.offer(BROKEN, 3)
    assert two.poll() == "failure: allow"
    assert on_disk(two).pin is not None


def test_a_forced_poll_takes_what_the_source_offers_in_spite_of_a_pin(two: Stage, web: Web) -> None:
    pin(two, "1")
    again = Stage(two.kept.folder.parent, web, Clock())
    assert again.poll(forced=True) == "success: deny", "at the start"
    assert on_disk(two).pin is None
    pin(two, "1")
    assert two.poll() == "success: allow"
    assert two.poll(forced=True) == "success: deny", "while the pinned bundle is in force"
    assert on_disk(two).pin is None


def test_a_forced_poll_at_the_start_falls_back_to_the_pinned_bundle(two: Stage, web: Web) -> None:
    pin(two, "1")
    web.raw = None
    again = Stage(two.kept.folder.parent, web, Clock())
    assert again.poll(forced=True) == "success: allow"


def test_a_forced_poll_asks_with_the_etag_of_the_bundle_in_force(two: Stage, web: Web) -> None:
    active = f'"{hash(web.raw)}"'
    web.offer(BROKEN, 3)
    two.poll()
    pin(two, "1")
    two.poll(forced=True)
    assert web.asked[-1] == active


def test_the_source_confirms_a_pinned_bundle_while_it_offers_another(two: Stage, web: Web) -> None:
    pin(two, "1")
    assert two.poll() == "success: allow"
    assert not two.facts.from_disk, "it was confirmed before"
    clock = two.clock
    clock.now += 9
    two.poll()
    clock.now += 9
    assert not two.store.stale
    web.raw = None
    clock.now += 2
    two.poll()
    assert two.store.stale


def test_another_catalog_builds_the_pinned_bundle_again_and_not_the_offered_one(two: Stage, web: Web) -> None:
    pin(two, "1")
    assert two.poll() == "success: allow"
    write(two.kept.folder.parent, "catalog/aiart.json", {**CATALOG, "title": "Other"})
    web.offer({**DENIES, "lint.toml": b""}, 2)  # is unpacked in the same poll, and held back by the pin
    assert two.poll() == "success: allow"


def test_a_pinned_bundle_that_cannot_be_used_is_not_in_force(two: Stage, web: Web) -> None:
    pin(two, "1")
    path = two.kept.folder / on_disk(two).kept[1].file
    path.write_bytes(b"")
    assert two.poll() == "failure: deny"
    assert not two.facts.pinned
    again = Stage(two.kept.folder.parent, web, Clock())
    assert again.poll() == "failure: nothing"
    assert (again.facts.pinned, again.facts.serial) == (False, 0)


def test_a_pin_of_a_bundle_that_the_folder_lacks_is_an_error(two: Stage) -> None:
    two.kept.change(lambda state: state._replace(pin=Pin("0" * 64, 9)))
    assert two.poll() == "failure: deny"
    message = "the folder does not have the bundle that should be in force"
    assert two.outcomes[-1].problems == (Problem("policy.last_good", "LastGoodError", message),)


def test_t109_an_archive_on_disk_is_the_one_that_its_name_says(two: Stage) -> None:
    kept = on_disk(two).kept
    path = two.kept.folder / kept[1].file
    path.write_bytes(write_archive(OTHER, 3))
    pin(two, "1")
    assert two.poll() == "failure: deny"
    message = "holds another bundle than its name says"
    assert two.outcomes[-1].problems == (Problem(str(path), "LastGoodError", message),)


# The start


def test_an_archive_that_was_offered_is_read_again_until_its_activation_has_failed(
    two: Stage, web: Web
) -> None:
    web.offer(OTHER, 3)
    source = source_of(two.kept.folder.parent, web)
    first = source.read()
    assert source.read().digest == first.digest


def test_a_source_that_returns_is_asked_although_the_last_good_bundle_is_damaged(
    two: Stage, web: Web
) -> None:
    (two.kept.folder / on_disk(two).kept[0].file).write_bytes(b"")
    web.raw, raw = None, web.raw
    again = Stage(two.kept.folder.parent, web, Clock())
    assert again.poll() == "failure: nothing"
    web.raw = raw
    assert again.poll() == "success: deny"


# when the source has last confirmed the bundle, in seconds before the start; whether the bundle is too old
CONFIRMED = [
    pytest.param(0.0, False, id="at the moment of the start"),
    pytest.param(9.0, False, id="9 seconds before"),
    pytest.param(11.0, True, id="11 seconds before"),
    pytest.param(-1.0, True, id="a second afterwards, by a wrong clock"),
    pytest.param(None, True, id="never, as far as the folder knows"),
]


@pytest.mark.parametrize(("seconds", "stale"), CONFIRMED)
def test_the_age_of_the_last_good_bundle_counts_from_its_confirmation(
    seconds: float | None, stale: bool, two: Stage, web: Web
) -> None:
    clock = Clock()
    if seconds is None:
        (two.kept.folder / "lock").unlink()
    else:
        two.kept.confirm(clock() - seconds)
    web.raw = None
    again = Stage(two.kept.folder.parent, web, clock, max_age=10)
    assert again.poll() == "success: deny"
    assert again.store.stale is stale
