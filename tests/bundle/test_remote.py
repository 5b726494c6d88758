"""A bundle from a URL: its order, what is kept, pins, and what happens while the source is away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from camguard.bundle import Bundle, ReloadOutcome, Store
from camguard.bundle.archive import write_archive
from camguard.bundle.fetch import Fetched
from camguard.bundle.last_good import STATE, LastGood
from camguard.bundle.load import Content, build_bundle
from camguard.bundle.remote import BACKOFF_SECONDS, RemoteSource
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
