"""The source of the bundles of a URL: which archive the URL offers, and which one should be in force.

Theory of operation. Each poll of the store calls `read`, then `activated` if the content that `read` returned
is in force, then `polled`. `read` asks the URL with the ETag of the bundle in force, so that a bundle that
could not be activated is offered again at each poll and never hides behind "not modified". An archive is
verified, compared with the highest serial that was ever accepted, and returned as the content of a bundle.
The archive in force stays in memory as it was received: when the catalog changes, the bundle is built again
from it. When the source cannot be used at the start, the last good archive on disk takes its place.

Rule 1: only serials order bundles. A lower serial, or the same serial with another digest, is refused unless
        an operator forces it (T109).
Rule 2: a pinned bundle stays in force until the source offers a higher serial than that of the pin, or an
        operator releases the pin.
Rule 3: a folder that cannot be written stops no activation (`kept_state`, Rule 1).
Rule 4: after failures the pauses between polls grow and vary at random, so that the processes of a fleet do
        not return to the source at the same moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from math import inf
from pathlib import Path
from secrets import randbelow
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from camguard.bundle.archive import Archive, read_archive
from camguard.bundle.fetch import Fetched, fetch
from camguard.bundle.kept_state import KeptState
from camguard.bundle.last_good import Kept, LastGood, State, wrong
from camguard.bundle.load import Content, content_of, require_complete
from camguard.bundle.signature import VerifyKey
from camguard.catalog import read_catalog
from camguard.errors import BundleError, Problem
from camguard.printable import without_credentials

CODE: Final = "SourceError"
ORDER: Final = "BundleOrderError"
BACKOFF_SECONDS: Final = 30.0  # the longest pause after failures, unless poll_seconds is longer
_DOUBLINGS: Final = 16  # of the pause at most
FETCHES: Final = ("fetched", "not_modified", "failure")

# From URL and ETag to the answer.
Fetch: TypeAlias = Callable[[str, str], Fetched | Literal["not modified"]]


class SourceFacts(NamedTuple):
    """The facts about a source after a poll.

    serial: of the bundle in force, offered_serial: of the last readable archive that the source offered; 0 if
    there is none. differs: the source offers another bundle than the one in force. pinned: an operator has
    put the bundle in force. valid_until: Unix time; None: no such time. from_disk: the bundle in force was
    read from `policy.last_good` and not yet confirmed by the source. fetches, writes: counts by result.
    """

    serial: int
    offered_serial: int
    differs: bool
    pinned: bool
    valid_until: float | None
    from_disk: bool
    fetches: Mapping[str, int]
    writes: Mapping[str, int]


class _Held(NamedTuple):
    """An archive that was read and verified.

    raw: as it was received; its files are read from it again when they are needed. sha256: of raw. digest: of
    the bundle, by its manifest. etag: with which the source offered it, "" without one.
    """

    raw: bytes
    sha256: bytes
    serial: int
    digest: str
    valid_until: float | None
    etag: str

    @property
    def kept(self) -> Kept:
        """The archive as the folder names it."""
        return Kept(self.serial, self.digest)


class RemoteSource:
    """Polls one URL. Only the thread that polls may use it, except for `facts`.

    catalog: the folder. key: verifies signatures; None: they are not required. last_good: None keeps nothing
    on disk. tests: whether the policy tests of the bundle are part of the content. max_age: whether the age
    of a bundle is limited, so that it must be kept on disk when the source last confirmed the bundle.
    warnings: what went wrong in the last poll without a failure.
    """

    def __init__(  # noqa: PLR0913 - the settings, the clocks and the network of a source
        self,
        url: str,
        catalog: Path,
        *,
        key: VerifyKey | None = None,
        last_good: LastGood | None = None,
        tests: bool = False,
        poll_seconds: float = 2.0,
        max_age: bool = False,
        fetcher: Fetch = fetch,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._catalog = catalog
        self._key = key
        self._kept = KeptState(last_good)
        self._tests = tests
        self._poll_seconds = poll_seconds
        self._keeps_age = max_age
        self._fetch = fetcher
        self._clock = clock
        self._monotonic = monotonic
        self._active: _Held | None = None  # the archive of the bundle in force
        # The SHA-256 of that archive, and the content that was built from it, without its files.
        self._content = (b"", Content({}, {}, ""))
        self._chosen: _Held | None = None  # the archive whose content `read` has returned
        # The SHA-256 of an archive, and the archive unpacked; dropped after each poll, because it is large.
        self._opened: tuple[bytes, Archive] | None = None
        self._offered: _Held | None = None  # the last readable archive that the source has offered
        # The SHA-256 of an offered archive that cannot be read, and why.
        self._unreadable: tuple[bytes, tuple[Problem, ...]] = (b"", ())
        self._forced = False
        self._from_disk = False
        self._confirmed = -inf  # monotonic time at which the source last confirmed the bundle in force
        self._failures = 0
        self._fetches = dict.fromkeys(FETCHES, 0)
        self.warnings: tuple[Problem, ...] = ()
        self.facts = self._facts()

    def force(self) -> None:
        """Accept the archive that the next poll is offered, whatever its serial."""
        self._forced = True

    def read(self) -> Content:
        """Return the content that should be in force.

        Raises CamguardError: there is none, and the bundle in force stays.
        """
        self.warnings = ()
        self._kept.forget_warnings()
        state = self._kept.read(required=self._active is None)
        self._chosen = None
        held = self._pinned(state)
        if held is None:
            held = self._from_source(state)
        self._chosen = held
        return self._as_content(held)

    def activated(self, content: Content) -> None:
        """Note that the store has put the content in force that the last `read` has returned."""
        held = self._chosen
        if held is None:
            return
        before, self._active = self._active, held
        if before is not None and before.digest == held.digest and self._content[1].digest == content.digest:
            return
        stripped = Content(MappingProxyType({}), content.catalog, content.digest, content.tests)
        self._content = (held.sha256, stripped)
        kept = held.kept._replace(revision=content.digest)
        forced = self._forced
        self._kept.change(lambda state: state.with_active(kept, forced=forced), (kept, held.raw))
        self._forced = False

    def polled(self, *, failed: bool) -> None:
        """Note how a poll ended, on which the pause before the next poll depends, and renew `facts`."""
        self._failures = self._failures + 1 if failed else 0
        self._forced = False
        self._opened = None
        self._kept.write_again(None if self._active is None else (self._active.kept, self._active.raw))
        self.warnings = (*self.warnings, *self._kept.warnings)
        self.facts = self._facts()

    def wait_seconds(self) -> float:
        """Return how long to wait before the next poll (Rule 4)."""
        if not self._failures:
            return self._poll_seconds * (0.9 + 0.1 * _random())
        pause = self._poll_seconds * 2.0 ** min(self._failures, _DOUBLINGS)
        return max(self._poll_seconds, min(pause, BACKOFF_SECONDS)) * (0.5 + 0.5 * _random())

    def age(self) -> float:
        """Return the seconds since the source last confirmed the bundle in force."""
        return self._monotonic() - self._confirmed

    # Which archive should be in force.

    def _pinned(self, state: State) -> _Held | None:
        """Return the pinned archive; None if none is pinned, if it is in force, or if an order overrides it.

        Raises BundleError: it cannot be used.
        """
        pin = state.pin
        if pin is None or self._forced or (self._active and self._active.digest == pin.digest):
            return None
        return self._load(state, pin.digest)

    def _load(self, state: State, digest: str) -> _Held:
        """Return an archive of the folder, verified as if it had been fetched. Raises BundleError."""
        kept = next((each for each in state.kept if each.digest == digest), None)
        last_good = self._kept.last_good
        if last_good is None or kept is None:
            raise wrong("the folder does not have the bundle that should be in force")
        raw = last_good.archive(kept)
        held = self._read(raw, "")
        if held.digest != digest:
            raise wrong("holds another bundle than its name says", str(last_good.folder / kept.file))
        if self._active is None:
            self._from_disk = True
            confirmed, now = last_good.confirmed(), self._clock()
            # A bundle that was confirmed in the future, by a clock that was wrong, counts as never confirmed.
            age = now - confirmed if confirmed is not None and confirmed <= now else inf
            self._confirmed = self._monotonic() - age
        return held

    def _from_source(self, state: State) -> _Held:
        """Return the archive of the source; at the start, the last good one where that cannot be used."""
        starting = self._active is None and bool(state.kept)
        try:
            if starting and self._failures and self._offered is not None:
                raise self._wrong("the bundle that the source offers cannot be activated")
            return self._accepted(self._offer(), state)
        except BundleError as error:
            if not starting:
                raise
            return self._last_good(state, error)

    def _accepted(self, offered: _Held, state: State) -> _Held:
        """Return the offered archive, or the pinned one while the pin holds it back.

        Raises BundleError: the order of bundles forbids the offered archive (Rule 1).
        """
        self._offered = offered
        active, pin = self._active, state.pin
        same = active is not None and offered.digest == active.digest
        if pin is not None and active is not None and not self._forced:
            newest = same and offered.serial >= state.highest[0]
            if offered.serial <= pin.until and not newest:
                self._confirm(active)
                return active
            if newest:
                self._kept.change(lambda now: now._replace(pin=None))
        if not same and not self._forced and not state.accepts(offered.serial, offered.digest):
            raise self._out_of_order(offered, state)
        self._confirm(offered)
        if same and active is not None:
            self._active = active._replace(etag=offered.etag)
            return self._active
        return offered

    def _offer(self) -> _Held:
        """Return the archive that the source offers. Raises BundleError: no archive can be read."""
        known = self._active
        if known is not None and self._offered is not None and self._state_pins(known):
            known = self._offered  # the pin holds this archive back, which needs not be sent again
        try:
            answer = self._fetch(self._url, known.etag if known is not None else "")
        except BundleError:
            self._fetches["failure"] += 1
            raise
        if not isinstance(answer, Fetched):
            self._fetches["not_modified"] += 1
            if known is None:
                raise self._wrong("the source answers that nothing is modified, and nothing was fetched yet")
            self._unreadable = (b"", ())
            return known
        self._fetches["fetched"] += 1
        digest = sha256(answer.raw).digest()
        for held in (self._active, self._offered):
            if held is not None and held.sha256 == digest:
                self._unreadable = (b"", ())
                return held._replace(etag=answer.etag)
        if digest == self._unreadable[0]:
            raise BundleError(*self._unreadable[1])
        try:
            held = self._read(answer.raw, answer.etag)
        except BundleError as error:
            self._unreadable = (digest, error.problems)
            raise
        self._unreadable = (b"", ())
        return held

    def _state_pins(self, active: _Held) -> bool:
        """Tell whether the bundle in force is pinned."""
        pin = self._kept.state.pin
        return pin is not None and pin.digest == active.digest

    def _open(self, raw: bytes) -> Archive:
        """Return an archive unpacked and verified. Raises BundleError, whose places begin with the URL."""
        try:
            archive = read_archive(raw, key=self._key)
            require_complete(archive.files, "the archive")
        except BundleError as error:
            place = without_credentials(self._url)
            problems = (each._replace(where=f"{place}: {each.where}") for each in error.problems)
            raise BundleError(*problems) from None
        return archive

    def _read(self, raw: bytes, etag: str) -> _Held:
        archive, digest = self._open(raw), sha256(raw).digest()
        self._opened = (digest, archive)
        return _Held(raw, digest, archive.serial, archive.digest, archive.valid_until, etag)

    def _last_good(self, state: State, why: BundleError) -> _Held:
        """Return the last good archive, because the source cannot be used at the start. why: the problem."""
        digest = state.pin.digest if state.pin is not None else state.kept[0].digest
        try:
            held = self._load(state, digest)
        except BundleError as error:
            raise BundleError(*why.problems, *error.problems) from None
        self.warnings = (*self.warnings, *why.problems)
        return held

    def _out_of_order(self, offered: _Held, state: State) -> BundleError:
        """Return the error that refuses an archive by its serial (Rule 1)."""
        serial, highest = offered.serial, state.highest[0]
        if serial == highest:
            return self._wrong(f"another bundle with the serial {serial} was accepted before", ORDER)
        message = f"the serial {serial} is lower than {highest}, that of a bundle which was accepted before"
        return self._wrong(f"{message}; force it if an older bundle is meant", ORDER)

    def _wrong(self, message: str, code: str = CODE) -> BundleError:
        return BundleError(Problem(without_credentials(self._url), code, message))

    def _confirm(self, held: _Held) -> None:
        """Note that the source confirms a bundle now, or did until its validity ended if that was before."""
        now, until = self._clock(), held.valid_until
        late = 0.0 if until is None else max(0.0, now - until)
        self._confirmed = max(self._confirmed, self._monotonic() - late)
        self._from_disk = False
        if late:
            self.warnings = (
                *self.warnings,
                Problem(without_credentials(self._url), CODE, "the validity of the bundle has ended"),
            )
        elif self._keeps_age:
            self._kept.confirm(now)

    def _as_content(self, held: _Held) -> Content:
        """Return the content of an archive with the catalog of now; the same object where nothing changed."""
        catalog = read_catalog(self._catalog)
        archive_digest, content = self._content
        if archive_digest == held.sha256 and content.catalog == catalog:
            return content
        opened = self._opened
        fits = opened is not None and opened[0] == held.sha256
        archive = opened[1] if opened is not None and fits else self._open(held.raw)
        return content_of(archive.files, catalog, archive.tests if self._tests else {})

    def _facts(self) -> SourceFacts:
        active, offered = self._active, self._offered
        pin = self._kept.state.pin
        differs = bool(self._unreadable[0]) or (
            offered is not None and (active is None or offered.digest != active.digest)
        )
        return SourceFacts(
            serial=active.serial if active else 0,
            offered_serial=offered.serial if offered else 0,
            differs=differs,
            pinned=pin is not None and active is not None and pin.digest == active.digest,
            valid_until=active.valid_until if active else None,
            from_disk=self._from_disk,
            fetches=MappingProxyType(dict(self._fetches)),
            writes=MappingProxyType(dict(self._kept.writes)),
        )


def _random() -> float:
    """Return a number from 0 to 1, drawn so that the processes of a fleet do not poll in step."""
    return randbelow(1 << 16) / (1 << 16)
