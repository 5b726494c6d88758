"""The folder in which bundles of a URL are kept: the last good one, those before it, their order, the pin.

Theory of operation. `<serial>-<digest>.tar.gz` is an archive as it was received. `state.json` holds which of
them is in force, the highest serial that was ever accepted, and which bundle an operator has pinned. The time
of `lock` is the moment at which the source last confirmed the bundle in force. All processes of one instance
share the folder: a process changes the state on disk under the lock, and each process reads the state at
every poll. So a pin reaches all workers, and outlives a restart.

Rule 1: an archive is verified whenever it is read, because somebody may have changed the folder.
Rule 2: a file is written under another name and renamed, so that no reader meets half of a file.
Rule 3: a state that cannot be read is an error and never counts as empty, because camguard would then accept
        a bundle that is older than one it has accepted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from camguard.bundle.archive import is_serial
from camguard.bundle.ustar import ARCHIVE_BYTES
from camguard.errors import BundleError, Problem
from camguard.files import MIB, read_file, replace_files
from camguard.grammar import REVISION_DIGITS
from camguard.strict_json import Number, ObjectReader, must, or_null, read_json, shaped, text

CODE: Final = "LastGoodError"
KEPT: Final = 10  # archives
STATE: Final = "state.json"
_LOCK: Final = "lock"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_FILE: Final = re.compile(r"[0-9]{1,16}-[0-9a-f]{64}\.tar\.gz")
_SCHEMA: Final = 1
_MODE: Final = 0o600


class Kept(NamedTuple):
    """One bundle of the folder. revision: of its last activation; "" if it was never activated."""

    serial: int
    digest: str
    revision: str = ""

    @property
    def file(self) -> str:
        """The name of the file that holds its archive."""
        return f"{self.serial}-{self.digest}.tar.gz"


class Pin(NamedTuple):
    """A bundle that an operator has put in force. until: a bundle with a higher serial releases the pin."""

    digest: str
    until: int


class State(NamedTuple):
    """The content of `state.json`.

    highest: serial and digest of the newest bundle that was ever accepted; serial 0: none yet. kept: the
    bundle in force first, then those that were in force before it. pin: None where no bundle is pinned.
    """

    highest: tuple[int, str] = (0, "")
    kept: tuple[Kept, ...] = ()
    pin: Pin | None = None

    def accepts(self, serial: int, digest: str) -> bool:
        """Return whether a bundle is newer than the newest accepted one, or is that one (T109)."""
        return serial > self.highest[0] or (serial, digest) == self.highest

    def with_active(self, bundle: Kept, *, forced: bool = False) -> State:
        """Return the state after an activation.

        bundle: that was activated. forced: whatever its serial. It releases the pin of another bundle if its
        serial is higher than those that the pin holds back, or if it was forced. Any other pin of another
        bundle was set while this activation ran, and stays.
        """
        pin = self.pin
        if pin is not None and pin.digest != bundle.digest and (forced or bundle.serial > pin.until):
            pin = None
        newer = forced or bundle.serial > self.highest[0]
        others = (each for each in self.kept if each.digest != bundle.digest)
        return State(
            (bundle.serial, bundle.digest) if newer else self.highest,
            (bundle, *others)[:KEPT],
            pin,
        )

    def with_pin(self, bundle: Kept) -> State:
        """Return the state in which an operator has pinned a bundle, which joins the kept ones.

        A new bundle takes the place of the one that was in force longest ago, never that of the one in force.
        """
        kept = tuple(bundle if each.digest == bundle.digest else each for each in self.kept)
        if bundle not in kept:
            kept = (*kept[: KEPT - 1], bundle)
        return self._replace(kept=kept, pin=Pin(bundle.digest, max(self.highest[0], bundle.serial)))

    def find(self, name: str) -> Kept:
        """Return the kept bundle that a name names.

        name: the first digits of its revision or digest, or its serial; "" names the bundle before the one in
        force. Raises BundleError: there is none, or several.
        """
        if not name:
            if len(self.kept) > 1:
                return self.kept[1]
            raise wrong("the folder has no bundle before the one in force")
        found = [
            each
            for each in self.kept
            if name == str(each.serial)
            or (len(name) >= 6 and (each.revision.startswith(name) or each.digest.startswith(name)))  # noqa: PLR2004 - digits that are no serial by accident
        ]
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"{each.revision[:REVISION_DIGITS]} (serial {each.serial})" for each in self.kept)
        if not found:
            raise wrong(f"{name[:64]!r} is no kept bundle; kept are: {names or 'none'}")
        raise wrong(f"{name[:64]!r} names several kept bundles: {names}")


def wrong(message: str, where: str = "policy.last_good") -> BundleError:
    """Return the error that has one problem of the folder."""
    return BundleError(Problem(where, CODE, message))


class LastGood:
    """The folder. Several processes may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> State:
        """Return the state on disk; an empty one if there is no `state.json` yet.

        Raises BundleError: the state cannot be read, or is damaged (Rule 3).
        """
        path = self.folder / STATE
        try:
            raw = read_file(path, MIB)
        except FileNotFoundError:
            return State()
        except OSError as error:
            raise wrong(f"cannot be read: {error.strerror}", str(path)) from None
        try:
            return _parse(raw, str(path))
        except BundleError as error:
            cure = "remove the file to forget the order of bundles and the pin"
            raise BundleError(*error.problems, Problem(str(path), CODE, cure)) from None

    def change(self, change: Callable[[State], State], archive: tuple[Kept, bytes] | None = None) -> State:
        """Change the state on disk, and return it. Raises OSError, BundleError.

        change: makes the new state from the one on disk. archive: kept in the folder from now on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            before = self.read()
            after = change(before)
            if archive is not None and not (self.folder / archive[0].file).exists():
                replace_files({self.folder / archive[0].file: archive[1]}, _MODE)
            if after != before:
                replace_files({self.folder / STATE: _format(after)}, _MODE)
                self._prune(after)
        return after

    def archive(self, bundle: Kept) -> bytes:
        """Return the bytes of an archive as they were received. Raises BundleError."""
        path = self.folder / bundle.file
        try:
            return read_file(path, ARCHIVE_BYTES)
        except OSError as error:
            raise wrong(f"cannot be read: {error.strerror}", str(path)) from None

    def confirm(self, moment: float) -> None:
        """Keep when the source last confirmed the bundle in force, a Unix time. Raises OSError."""
        path = self.folder / _LOCK
        self.folder.mkdir(parents=True, exist_ok=True)
        path.touch(_MODE)
        os.utime(path, (moment, moment))

    def confirmed(self) -> float | None:
        """Return when the source last confirmed the bundle in force, a Unix time; None if unknown."""
        try:
            return (self.folder / _LOCK).stat().st_mtime
        except OSError:
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _prune(self, state: State) -> None:
        """Remove archives that the state does not name. A failure is tried again after the next change."""
        named = {each.file for each in state.kept}
        for path in self.folder.iterdir():
            if _FILE.fullmatch(path.name) and path.name not in named:
                with suppress(OSError):
                    path.unlink()


_serial: Final = must(lambda value: is_serial(value, 0), "a serial")
_digest: Final = shaped(_DIGEST, "a SHA-256")
_object: Final = must(lambda value: isinstance(value, dict), "an object")
_MEMBERS: Final = {
    "schema": must(lambda value: isinstance(value, Number) and value == str(_SCHEMA), "1"),
    "highest": or_null(_object),
    "kept": must(lambda value: isinstance(value, list), "a list"),
    "pin": or_null(_object),
}


def _parse(raw: bytes, source: str) -> State:
    reader = ObjectReader(source, CODE)
    found = reader.members(read_json(raw, source, BundleError, CODE), "", _MEMBERS)
    kept = []
    for index, each in enumerate(found.get("kept", [])):
        one = reader.members(each, f"/kept/{index}", {"serial": _serial, "digest": _digest, "revision": text})
        if len(one) == 3:  # noqa: PLR2004 - all members were good
            kept.append(Kept(int(one["serial"]), one["digest"], one["revision"]))
    highest = pin = None
    if found.get("highest") is not None:
        highest = reader.members(found["highest"], "/highest", {"serial": _serial, "digest": _digest})
    if found.get("pin") is not None:
        pin = reader.members(found["pin"], "/pin", {"digest": _digest, "until": _serial})
    if reader.problems:
        raise BundleError(*reader.problems)
    return State(
        (int(highest["serial"]), highest["digest"]) if highest else (0, ""),
        tuple(kept),
        Pin(pin["digest"], int(pin["until"])) if pin else None,
    )


def _format(state: State) -> bytes:
    serial, digest = state.highest
    document = {
        "schema": _SCHEMA,
        "highest": {"serial": serial, "digest": digest} if serial else None,
        "kept": [each._asdict() for each in state.kept],
        "pin": None if state.pin is None else state.pin._asdict(),
    }
    return (json.dumps(document, indent=1) + "\n").encode()
