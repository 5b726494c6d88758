"""Which bundle is in force by the order of an operator: rollback, release of a pin, promotion.

Theory of operation. The order is written to the state in `policy.last_good`, which every process of an
instance reads at each poll, and which outlives a restart. The bundle is verified and built before the state
is changed, so that an order that cannot be carried out changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from camguard.bundle.archive import Archive, read_archive
from camguard.bundle.fetch import Fetched, fetch
from camguard.bundle.last_good import Kept, LastGood, State, wrong
from camguard.bundle.load import content_of, require_complete
from camguard.bundle.signature import read_verify_key
from camguard.bundle.store import Store
from camguard.catalog import read_catalog
from camguard.errors import BundleError, Problem, SettingsError
from camguard.grammar import REVISION_DIGITS
from camguard.settings import Settings
from camguard.settings.values import is_url
from camguard.wiring import build_content


class Ordered(NamedTuple):
    """What an operator has put in force. pinned: None after a release. state: of the folder afterwards."""

    pinned: Kept | None
    state: State


def last_good_of(settings: Settings) -> LastGood:
    """Return the folder of kept bundles. Raises SettingsError: the settings have none."""
    policy = settings.policy
    if not is_url(policy.source):
        message = "is a folder, which keeps no bundles: put the content there that should be in force"
        raise SettingsError(Problem("policy.source", "SettingsError", message))
    if policy.last_good is None:
        message = "names no folder, so no bundle is kept; set it and restart camguard"
        raise SettingsError(Problem("policy.last_good", "SettingsError", message))
    return LastGood(policy.last_good)


def rollback(settings: Settings, name: str = "") -> Ordered:
    """Pin a kept bundle: the one before that in force, or the one with this revision, digest or serial.

    Raises CamguardError: there is no such bundle, it cannot be used, or the folder cannot be written.
    """
    folder = last_good_of(settings)
    chosen = folder.read().find(name)
    archive, revision = _usable(settings, folder.archive(chosen))
    if archive.digest != chosen.digest:
        raise wrong("holds another bundle than its name says", str(folder.folder / chosen.file))
    return _pin(folder, Kept(chosen.serial, chosen.digest, revision), None)


def release(settings: Settings) -> Ordered:
    """Release the pin, if there is one. What the source offers is in force after the next poll."""
    folder = last_good_of(settings)
    try:
        return Ordered(None, folder.change(lambda state: state._replace(pin=None)))
    except OSError as error:
        raise wrong(f"cannot be written: {error.strerror}", str(folder.folder)) from None


def promote(settings: Settings, revision: str = "") -> Ordered:
    """Pin the candidate of a URL: it is in force until the source offers a bundle with a higher serial.

    revision: with which the revision of the candidate must begin, so that nothing is promoted that nobody
    has compared. Raises CamguardError.
    """
    folder = last_good_of(settings)
    candidate = settings.enforcement.candidate
    if candidate is None or not is_url(candidate):
        message = "is no URL, so there is no archive to promote; publish it with `camguard bundle build`"
        raise SettingsError(Problem("enforcement.candidate", "SettingsError", message))
    answer = fetch(candidate)
    raw = answer.raw if isinstance(answer, Fetched) else b""
    archive, found = _usable(settings, raw)
    if not found.startswith(revision):
        message = f"has the revision {found[:REVISION_DIGITS]} by now, not {revision[:64]!r}"
        raise BundleError(Problem("enforcement.candidate", "BundleError", message))
    return _pin(folder, Kept(archive.serial, archive.digest, found), raw)


def carry_out(settings: Settings, store: Store, order: str, options: Mapping[str, str]) -> None:
    """Carry out an order of the admin listener, before it polls. Raises CamguardError.

    order: `reload` with the option `force`, which accepts an older bundle; `rollback`; `promote`.
    """
    revision = options.get("revision", "")
    if order == "reload":
        store.force()
    elif order == "promote":
        promote(settings, revision)
    elif "release" in options:
        release(settings)
    else:
        rollback(settings, revision)


def _usable(settings: Settings, raw: bytes) -> tuple[Archive, str]:
    """Return an archive that was verified and built, and the revision of its bundle. Raises CamguardError."""
    key_file = settings.policy.verify_key_file
    archive = read_archive(raw, key=None if key_file is None else read_verify_key(key_file))
    require_complete(archive.files, "the archive")
    tests = archive.tests if settings.policy.run_tests else {}
    content = content_of(archive.files, read_catalog(settings.catalog.path), tests)
    return archive, build_content(settings, content, time.time).revision


def _pin(folder: LastGood, bundle: Kept, raw: bytes | None) -> Ordered:
    try:
        kept = None if raw is None else (bundle, raw)
        return Ordered(bundle, folder.change(lambda state: state.with_pin(bundle), kept))
    except OSError as error:
        where = error.filename or Path(folder.folder)
        raise wrong(f"cannot be written: {error.strerror}", str(where)) from None
