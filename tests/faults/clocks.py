"""A wall clock that steps and stops, while the monotonic one goes on."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from camguard.authn.authenticator import authenticator
from camguard.authn.tc3 import SKEW
from camguard.enforcement.guard import Guard
from camguard.engine.decision import Decision
from camguard.middleware import CamguardMiddleware
from camguard.request.rejection import Rejection
from camguard.settings import IdentitySettings
from camguard.telemetry.metrics import Metrics
from tests import stage
from tests.asgi import body_of, discard, receive_of
from tests.authn.signing import BODY, NOW, authorization, keys, tc3
from tests.company import allow
from tests.faults.report import Report

HOUR = 3600
STEPS = (0, 10, -10, 0, 1, HOUR, 0, -HOUR, 299, 300, 301, -299, -300, -301, 86_400, 0, 0, -NOW, 0, 10**9, 0)
WINDOW = ("2023-11-14T22:13:20Z", "2023-11-14T22:13:25Z")  # NOW, and five seconds on
POLICY = {
    "version": "2.0",
    "statement": {
        "effect": "allow",
        "action": "aiart:TextToImage",
        "resource": "*",
        "condition": {
            "date_greater_than_equal": {"qcs:current_time": WINDOW[0]},
            "date_less_than_equal": {"qcs:current_time": WINDOW[1]},
        },
    },
}
PLAIN = {"version": "2.0", "statement": allow("*")}
LINES = (
    (b"host", b"aiart.tencentcloudapi.com"),
    (b"content-type", b"application/json"),
    (b"x-tc-action", b"TextToImage"),
    (b"x-tc-timestamp", b"%d" % NOW),
    (b"authorization", authorization(tc3()).encode()),
)


class Held:
    """Keys that do not change."""

    keys = keys()


class Stage:
    """One guard that lives through all steps of its clock, with the metrics that watch it."""

    def __init__(self, policy: dict[str, Any]) -> None:
        self.now = float(NOW)
        self.metrics = Metrics(None, listeners=("middleware",), actions=("*",), version="0")
        self.decisions: list[Decision | Rejection] = []
        self.reached = 0
        bundle = stage.bundle({"office": policy, "instances": PLAIN})
        self.guard = Guard(
            stage.SETTINGS,
            stage.FixedPolicies(bundle),
            authenticator(IdentitySettings(mode="signature"), Held()),
            observers=(self.metrics.observe, lambda record: self.decisions.append(record.decision)),
            clock=lambda: self.now,
        )
        self.middleware = CamguardMiddleware(self._app, guard=self.guard)

    async def _app(self, _scope: Any, _receive: Any, _send: Any) -> None:
        self.reached += 1

    async def reply_to(self) -> Decision | Rejection:
        """Ask at this moment."""
        request = stage.Request(lines=LINES, chunks=(BODY,), client=(stage.OFFICE, 1))
        await self.middleware(request.scope(), receive_of(body_of(BODY)), discard)
        return self.decisions[-1]


def inject_clocks(report: Report, *, quick: bool) -> None:
    """A wall clock that steps by seconds, hours and days, and stops."""
    asyncio.run(_steps(report, 20 if quick else 400))


async def _steps(report: Report, rounds: int) -> None:
    timed, plain = Stage(POLICY), Stage(PLAIN)
    sent = misjudged = 0
    for step in itertools.chain.from_iterable(itertools.repeat(STEPS, rounds)):
        timed.now = plain.now = float(NOW + step)
        for _ in range(3):  # the clock stops
            fresh = abs(step) <= SKEW
            allowed = bool(await plain.reply_to()), bool(await timed.reply_to())
            misjudged += allowed != (fresh, fresh and 0 <= step <= 5)
            sent += 2
    shown = plain.metrics.render().decode() + timed.metrics.render().decode()
    negative = [line for line in shown.splitlines() if not line.startswith("#") and " -" in line]
    faults = plain.guard.faults + timed.guard.faults
    report.says(sent=sent, failed=faults, misjudged=misjudged, steps=len(STEPS) * rounds)
    report.holds("signatures are judged by the new time, within 300 s both ways", true=misjudged == 0)
    report.holds("no allow outlives the window of its condition", true=misjudged == 0)
    report.holds(
        "the application was reached by what was allowed alone", true=_allows(timed) and _allows(plain)
    )
    report.holds("no exception, and no number below 0 in the metrics", true=not faults and not negative)
    _ages(report)


def _allows(found: Stage) -> bool:
    return found.reached == sum(map(bool, found.decisions))


def _ages(report: Report) -> None:
    """A bundle's age counts by the monotonic clock, whatever the wall clock says."""
    from camguard.bundle.load import Content  # noqa: PLC0415 - beside its only use
    from camguard.bundle.store import Store  # noqa: PLC0415

    monotonic, wall = [0.0], [float(NOW)]
    store = Store(
        lambda: Content({}, {}, "d"),
        lambda _: stage.BUNDLE,
        max_age_seconds=60,
        clock=lambda: wall[0],
        monotonic=lambda: monotonic[0],
        sleep=lambda _: None,
    )
    store.reload()
    found = []
    for moment, step in ((1.0, HOUR), (59.0, -HOUR), (60.0, 10**9), (61.0, -NOW)):
        monotonic[0], wall[0] = moment, NOW + step
        found.append(store.stale)
    report.holds("a bundle's age is not the wall clock's business", true=found == [False, False, False, True])
