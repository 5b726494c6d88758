"""Many activations of a large bundle from a URL: the memory of the process must not grow."""

from __future__ import annotations

import json
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from camguard.bundle.archive import write_archive
from camguard.bundle.load import read_content
from tests.faults.callers import ALLOWED, ask, call, perform
from tests.faults.report import Report, resident
from tests.running import ROOT, Gateway, running

PRINCIPALS = 20_000
WARM = 10  # activations until the allocator has what it needs for two bundles at a time
MOST_BYTES = 64 << 20


class Source(ThreadingHTTPServer):
    """Answers every request with the archive that is offered."""

    daemon_threads = True
    raw = b""


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.raw)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def large_bundles() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the files of two bundles with PRINCIPALS users each. No user is in both."""
    files = dict(read_content(ROOT / "config/bundle", ROOT / "config/catalog").files)
    people = json.loads(files["principals.json"])
    both = []
    for word in ("even", "odd"):
        users = {
            str(200000000000 + number): {"name": f"{word}-{number}", "policies": ["aiart-read"]}
            for number in range(PRINCIPALS)
        }
        document = {**people, "users": {**people["users"], **users}}
        both.append({**files, "principals.json": json.dumps(document).encode()})
    return both[0], both[1]


def inject_polls(report: Report, *, quick: bool) -> None:
    """A large bundle of a URL that changes between all polls."""
    with tempfile.TemporaryDirectory() as place, Source(("127.0.0.1", 0), _Handler) as source:
        threading.Thread(target=source.serve_forever, args=(0.05,), daemon=True).start()
        bundles = large_bundles()
        source.raw = write_archive(bundles[0], 1)
        with running(
            Path(place, "config"),
            POLICY__LAST_GOOD=str(Path(place, "kept")),
            POLICY__POLL_SECONDS="3600.0",  # only on request
            POLICY__SOURCE=f"http://127.0.0.1:{source.server_port}/bundle.tar.gz",
        ) as gateway:
            perform(_activations(report, gateway, source, bundles, 6 if quick else 90))
        source.shutdown()


async def _activations(
    report: Report,
    gateway: Gateway,
    source: Source,
    bundles: tuple[dict[str, bytes], dict[str, bytes]],
    activations: int,
) -> None:
    warm = min(WARM, activations // 2)
    sizes, failed, misjudged = [], 0, 0
    for number in range(warm + activations):
        source.raw = write_archive(bundles[(number + 1) % 2], number + 2)
        failed += gateway.reload()[0] != 200
        misjudged += await ask(gateway.calls, call()) != ALLOWED
        sizes.append(resident(gateway.process.pid))
    before, after = sizes[warm - 1], sizes[-1]
    report.says(archive_bytes=len(source.raw), principals=PRINCIPALS, activations=warm + activations)
    report.says(sent=len(sizes), failed=failed, misjudged=misjudged)
    report.memory(before, after, max(sizes))
    report.holds("every offered bundle was activated", true=failed == 0)
    report.holds("every call was judged as before", true=misjudged == 0)
    report.holds(
        "memory rises by at most 64 MiB over all polls", true=max(sizes[warm:]) - before <= MOST_BYTES
    )
