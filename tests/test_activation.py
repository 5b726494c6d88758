"""Orders of an operator: rollback, release of a pin, promotion."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from camguard.activation import carry_out
from camguard.bundle import Store
from camguard.bundle.archive import write_archive
from camguard.bundle.last_good import LastGood
from camguard.cli import main
from camguard.engine.call import Call
from camguard.errors import CamguardError
from camguard.exit_codes import Exit
from camguard.settings import Settings, load_settings
from camguard.wiring import assemble
from tests.bundle.archives import FILES
from tests.bundle.test_remote import BROKEN, DENIES, OTHER
from tests.company import USER


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Be silent."""


class Site:
    """A web server with the bundle and the candidate, and the settings of an instance that polls it."""

    def __init__(self, folder: Path, catalog: Path) -> None:
        self.www = folder / "www"
        self.www.mkdir()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(self.www)))
        self.config = folder / "camguard.toml"
        self.kept = LastGood(folder / "kept")
        at = f"http://127.0.0.1:{self.server.server_port}"
        self.config.write_text(
            f'catalog.path = "{catalog}"\n'
            f'[policy]\nsource = "{at}/b.tar.gz"\nlast_good = "kept"\n'
            f'[enforcement]\ncandidate = "{at}/next.tar.gz"\n[decision_log]\npath = ""\n'
        )
        keys = folder / "keys.json"
        keys.write_text("{}")
        keys.chmod(0o600)

    def offer(self, files: Any, serial: int, name: str = "b.tar.gz") -> None:
        aside = self.www / "aside"
        aside.write_bytes(write_archive(files, serial))
        aside.replace(self.www / name)

    @property
    def settings(self) -> Settings:
        return load_settings(self.config, environ={})

    def instance(self) -> Store:
        """Return the store of a new instance."""
        return assemble(self.settings).store


@pytest.fixture
def site(tmp_path: Path, repository: Path) -> Iterator[Site]:
    site = Site(tmp_path, repository / "config/catalog")
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


def allows(store: Store) -> bool:
    assert store.bundle is not None
    return bool(store.bundle.decide(Call(USER, "aiart:TextToImage", None, 0.0)))


def run(site: Site, verb: str, *options: str) -> int:
    return main([verb, *options, "--config", str(site.config)])


def test_rollback_pins_the_bundle_before_in_all_workers_and_across_restarts(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.offer(FILES, 1)
    one, two = site.instance(), site.instance()
    site.offer(DENIES, 2)
    for store in (one, two):
        assert store.reload().result == "success"
        assert not allows(store)
    assert run(site, "rollback") == Exit.OK
    assert "pinned until the source offers a serial above 2" in capsys.readouterr().out
    for store in (one, two):
        outcome = store.reload()
        assert outcome.source is not None
        assert (outcome.result, outcome.source.pinned) == ("success", True)
        assert allows(store)
    assert allows(site.instance())
    assert run(site, "rollback", "--release") == Exit.OK
    assert "no bundle is pinned" in capsys.readouterr().out
    for store in (one, two, site.instance()):
        store.reload()
        assert not allows(store)


def test_a_named_revision_is_activated_and_a_newer_serial_ends_that(site: Site) -> None:
    site.offer(FILES, 1)
    store = site.instance()
    revision = store.reload().revision
    for serial, files in ((2, DENIES), (3, {**DENIES, "lint.toml": b""})):
        site.offer(files, serial)
        store.reload()
    carry_out(site.settings, store, "rollback", {"revision": revision[:12]})
    assert store.reload().revision == revision
    site.offer(DENIES, 4)
    store.reload()
    assert not allows(store)
    assert site.kept.read().pin is None


def test_promotion_puts_the_candidate_in_force_until_the_source_offers_it(site: Site) -> None:
    site.offer(DENIES, 1)
    site.offer(OTHER, 2, "next.tar.gz")
    store = site.instance()
    assert not allows(store)
    carry_out(site.settings, store, "promote", {})
    assert store.reload().result == "success"
    assert allows(store)
    assert store.reload().result == "unchanged"
    assert allows(store), "the source offers an older bundle, which does not end the promotion"
    site.offer(OTHER, 2)
    outcome = store.reload()
    assert outcome.source is not None
    assert (outcome.result, outcome.source.pinned, outcome.source.serial) == ("unchanged", False, 2)


def test_only_the_named_revision_is_promoted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.offer(DENIES, 1)
    site.offer(OTHER, 2, "next.tar.gz")
    site.instance()
    assert run(site, "promote", "--revision", "abcdef") == Exit.INVALID
    assert "has the revision" in capsys.readouterr().err
    assert site.kept.read().pin is None
    assert run(site, "promote", "--format", "json") == Exit.OK
    assert json.loads(capsys.readouterr().out)["until"] == 2


def test_forcing_accepts_an_older_bundle(site: Site) -> None:
    site.offer(DENIES, 5)
    store = site.instance()
    site.offer(FILES, 4)
    assert store.reload().result == "failure"
    carry_out(site.settings, store, "reload", {"force": "true"})
    assert store.reload().result == "success"
    assert allows(store)


def test_an_order_that_cannot_be_carried_out_changes_nothing(site: Site) -> None:
    site.offer(FILES, 1)
    store = site.instance()
    before = site.kept.read()
    site.offer(BROKEN, 2, "next.tar.gz")
    with pytest.raises(CamguardError, match=r"policies/one\.json"):
        carry_out(site.settings, store, "promote", {})
    with pytest.raises(CamguardError, match="no bundle before the one in force"):
        carry_out(site.settings, store, "rollback", {})
    with pytest.raises(CamguardError, match="is no kept bundle"):
        carry_out(site.settings, store, "rollback", {"revision": "abcdef123456"})
    site.offer(DENIES, 2)
    store.reload()
    (kept,) = (site.kept.folder).glob("1-*.tar.gz")
    kept.write_bytes(b"damaged")
    after = site.kept.read()
    with pytest.raises(CamguardError, match="is no gzip file"):
        carry_out(site.settings, store, "rollback", {})
    assert site.kept.read() == after
    assert before.pin is None


# lines of the settings, the problem of a rollback
WITHOUT = [
    pytest.param('[policy]\nsource = "bundle"', "policy.source: is a folder", id="a folder"),
    pytest.param('[policy]\nsource = "https://a.example/b"', "policy.last_good: names no", id="no folder"),
]


@pytest.mark.parametrize(("text", "problem"), WITHOUT)
def test_where_nothing_is_kept_there_is_no_rollback(
    text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "camguard.toml").write_text(text)
    for verb in ("rollback", "promote"):
        assert main([verb, "--config", str(tmp_path / "camguard.toml")]) == Exit.INVALID
        assert problem in capsys.readouterr().err


def test_a_read_only_folder_stops_an_order_and_no_activation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.offer(FILES, 1)
    store = site.instance()
    site.offer(DENIES, 2)
    store.reload()

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("camguard.bundle.last_good.os.fsync", refuse)
    with pytest.raises(CamguardError, match="Read-only file system"):
        carry_out(site.settings, store, "rollback", {})
    site.offer(OTHER, 3)
    outcome = store.reload()
    assert outcome.result == "success"
    assert "cannot be kept: Read-only file system" in str(outcome.warnings[0])
    shutil.rmtree(site.kept.folder)
