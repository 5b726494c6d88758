"""A source of policies on loopback, for tests with a real Prometheus, and what may happen to its bundles."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from camguard.bundle.archive import read_archive, write_archive
from camguard.bundle.last_good import Kept, LastGood
from camguard.bundle.load import read_content
from tests.running import ROOT, Gateway, fetch, running
from tests.scraping import Prometheus, eventually
from tests.telemetry.callers import ELSEWHERE, Caller

# What no alert may say of an instance whose source is away, and whose bundle on disk has no end.
LATER = (
    "CamguardPolicyNotKept",
    "CamguardPolicyOfferRefused",
    "CamguardPolicyPinned",
    "CamguardPolicySourceBehind",
    "CamguardPolicyValidityEnds",
    "CamguardPolicyWorkersDiffer",
)


class Source(ThreadingHTTPServer):
    """Answers every request with the archive that is offered, or with 503 if no archive is offered."""

    daemon_threads = True

    def __init__(self) -> None:
        self.raw: bytes | None = None
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/bundle.tar.gz"

    def offer(self, bundle: Path, serial: int, *, valid_seconds: int = 0, name: str = "") -> bytes:
        """Offer the bundle of a folder, and return its archive.

        valid_seconds: how long the bundle is valid; 0: for ever. name: a user that this bundle alone has.
        """
        content = read_content(bundle, ROOT / "config/catalog")
        files = dict(content.files)
        if name:
            people = json.loads(files["principals.json"])
            people["users"]["100000000199"] = {"name": name}
            files["principals.json"] = json.dumps(people).encode()
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + valid_seconds))
        self.raw = write_archive(files, serial, valid_until=until if valid_seconds else None)
        return self.raw


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        raw = self.server.raw
        self.send_response(503 if raw is None else 200)
        self.end_headers()
        self.wfile.write(raw or b"")

    def log_message(self, *_: object) -> None:
        """Write nothing: the test is silent."""


@contextlib.contextmanager
def offering() -> Iterator[Source]:
    """Run a source that offers nothing yet."""
    with Source() as source:
        threading.Thread(target=source.serve_forever, args=(0.05,), daemon=True).start()
        yield source
        source.shutdown()


def fail_in_every_way(prometheus: Prometheus, folder: Path, admin: int) -> None:
    """Run an instance of two workers on a source, and let happen what each alert about sources is about.

    folder: for the instance; created. The instance answers the admin port from now on until the end.
    """
    bundle, kept = ROOT / "config/bundle", LastGood(folder.parent / "kept")
    with offering() as source:
        raw = source.offer(bundle, 1)
        first = Kept(1, read_archive(raw).digest)
        kept.change(lambda state: state.with_active(first), (first, raw))
        source.raw = None
        with running(
            folder,
            ENFORCEMENT__MODE="shadow",
            GATEWAY__ADMIN=f"127.0.0.1:{admin}",
            GATEWAY__WORKERS="2",
            POLICY__LAST_GOOD=str(kept.folder),
            POLICY__POLL_SECONDS="0.5",
            POLICY__SOURCE=source.url,
        ) as gateway:
            prometheus.await_alerts(("CamguardPolicyFromDisk", "CamguardPolicySourceFailing"))
            with contextlib.closing(Caller(gateway.calls)) as caller:
                caller.call(x_forwarded_for=ELSEWHERE)
            assert prometheus.fired.keys().isdisjoint(LATER)
            source.offer(bundle, 2, valid_seconds=1800)
            prometheus.await_alerts(("CamguardPolicyValidityEnds", "CamguardShadowPassed"))
            answer = fetch(f"http://127.0.0.1:{admin}/-/rollback?revision=1", b"")
            assert answer[0] == 200, answer
            prometheus.await_alerts(("CamguardPolicyPinned",))
            (kept.folder / "lock").unlink()
            (kept.folder / "lock").mkdir()  # the lock cannot be taken: every write fails, as on a full disk
            source.offer(bundle, 3)
            prometheus.await_alerts(("CamguardPolicyNotKept",))
            source.offer(bundle, 2)
            prometheus.await_alerts(("CamguardPolicySourceBehind", "CamguardPolicyOfferRefused"))
            stop_one_worker(prometheus, gateway, source)


def stop_one_worker(prometheus: Prometheus, gateway: Gateway, source: Source) -> None:
    """Let one of two workers hang while the other one activates a new bundle."""
    workers = json.loads(gateway.get("/api/status")[1])["workers"]
    os.kill(workers[0]["pid"], signal.SIGSTOP)
    try:
        source.offer(ROOT / "config/bundle", 4, name="new")
        prometheus.await_alerts(("CamguardPolicyWorkersDiffer",))
    finally:
        os.kill(workers[0]["pid"], signal.SIGCONT)
    eventually(lambda: len(prometheus.query("camguard_policy_serial == 4")) == 1)
