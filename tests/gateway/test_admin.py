"""What the admin listener answers to requests in process."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import ASGIApp

from camguard.asgi import in_daemon_thread
from camguard.bundle import make_bundle
from camguard.bundle.store import ReloadOutcome, Result
from camguard.catalog.model import Catalog
from camguard.errors import BundleError, Problem, SettingsError
from camguard.gateway.admin import Sources, admin, outcome_document
from camguard.gateway.channel import WorkerOutcome, failed
from camguard.lint import Findings, found
from tests.asgi import body_of, exchange, http_scope, request
from tests.company import OWNER
from tests.gateway.stage import call, play, settled, until


class House:
    """Stand in for the parts of a running gateway."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.failing: list[str] = []
        self.result: Result = "success"
        self.problems: tuple[Problem, ...] = ()
        self.rendering = 0
        self.most_rendering = 0
        self.hosts: tuple[str, ...] = ()
        self.looks = 0
        self.hanging = threading.Event()
        self.hanging.set()

    def render(self) -> bytes:
        """Take a while, off the event loop."""
        assert threading.current_thread() is not threading.main_thread()
        self.rendering += 1
        self.most_rendering = max(self.most_rendering, self.rendering)
        time.sleep(0.01)
        self.rendering -= 1
        return b"camguard_build_info 1\n"

    def reload(self) -> ReloadOutcome:
        """Come to what the test says, once it does not hang."""
        assert threading.current_thread().daemon
        self.looks += 1
        self.hanging.wait()
        return ReloadOutcome(self.result, 1.0, "ab12", self.problems, None)

    def app(self) -> ASGIApp:
        """Return the application over this house."""
        sources = Sources(
            self.render,
            lambda: self.missing,
            lambda: self.failing,
            self.reload,
            lambda: {"revision": "ab12"},
        )
        return admin(sources, self.hosts)

    def answer(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Ask the application; return status and what the body says."""
        status, _, body = play(call(self.app(), method, path, {"host": "127.0.0.1:9464"} | (headers or {})))
        return status, json.loads(body) if body.startswith(b"{") else body


def test_metrics_are_plain_text_in_prometheus_format() -> None:
    status, headers, body = play(call(House().app(), "GET", "/metrics"))
    assert (status, body) == (200, b"camguard_build_info 1\n")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")


def test_one_scrape_is_rendered_at_a_time() -> None:
    house = House()

    async def scene() -> None:
        app = house.app()
        answers = await asyncio.gather(*(call(app, "GET", "/metrics") for _ in range(16)))
        assert [status for status, _, _ in answers] == [200] * 16

    play(scene())
    assert house.most_rendering == 1


READY = [
    pytest.param([], 200, {"ready": True, "missing": [], "failing": []}, id="nothing is missing"),
    pytest.param(
        ["bundle"], 503, {"ready": False, "missing": ["bundle"], "failing": []}, id="no bundle was ever good"
    ),
    pytest.param(
        ["stale", "stopping"],
        503,
        {"ready": False, "missing": ["stale", "stopping"], "failing": []},
        id="two things",
    ),
]


@pytest.mark.parametrize(("missing", "status", "body"), READY)
def test_ready(missing: list[str], status: int, body: dict[str, Any]) -> None:
    house = House()
    house.missing = missing
    assert house.answer("GET", "/-/ready") == (status, body)


def test_t131_what_could_not_be_read_anew_is_named_and_calls_go_on() -> None:
    house = House()
    house.failing = ["keys"]
    assert house.answer("GET", "/-/ready") == (200, {"ready": True, "missing": [], "failing": ["keys"]})


def test_healthy_is_healthy_without_a_bundle() -> None:
    house = House()
    house.missing = ["bundle"]
    assert house.answer("GET", "/-/healthy") == (200, b"healthy\n")


RELOADS = [
    pytest.param("success", (), 200, id="a new bundle"),
    pytest.param("unchanged", (), 200, id="nothing new"),
    pytest.param(
        "failure", (Problem("policies/a.json#/version", "VersionError", "is not 2.0"),), 500, id="a bad one"
    ),
]


@pytest.mark.parametrize(("result", "problems", "status"), RELOADS)
def test_reload_answers_with_what_came_of_it(
    result: Result, problems: tuple[Problem, ...], status: int
) -> None:
    house = House()
    house.result, house.problems = result, problems
    expected = {
        "result": result,
        "revision": "ab12",
        "problems": [problem._asdict() for problem in problems],
        "findings": None,
        "new_errors": [],
        "workers": [
            {
                "pid": os.getpid(),
                "result": result,
                "revision": "ab12",
                "serial": None,
                "problems": [problem._asdict() for problem in problems],
            }
        ],
    }
    assert house.answer("POST", "/-/reload") == (status, expected)


REFUSED = [
    pytest.param("GET", {}, 405, id="a reload by GET"),
    pytest.param("POST", {"origin": "http://evil.example"}, 403, id="a reload from another site's page"),
    pytest.param("POST", {"origin": "null"}, 403, id="a reload from a page without an origin"),
    pytest.param("POST", {"origin": "http://127.0.0.1:9464"}, 200, id="a reload from the console"),
]


@pytest.mark.parametrize(("method", "headers", "status"), REFUSED)
def test_which_requests_may_reload(method: str, headers: dict[str, str], status: int) -> None:
    assert House().answer(method, "/-/reload", headers)[0] == status


def test_status_is_json() -> None:
    assert House().answer("GET", "/api/status") == (200, {"revision": "ab12"})


HOSTS = ("gateway.internal", "admin")
# the lines of `Host`, whether whoever sends them may read and reload
ASKED = [
    pytest.param(["127.0.0.1:9464"], True, id="an IPv4 address"),
    pytest.param(["127.0.0.1"], True, id="an IPv4 address without a port"),
    pytest.param(["192.0.2.7:9464"], True, id="another IPv4 address"),
    pytest.param(["[::1]:9464"], True, id="an IPv6 address"),
    pytest.param(["[2001:db8::1]"], True, id="an IPv6 address without a port"),
    pytest.param(["localhost:9464"], True, id="localhost"),
    pytest.param(["LocalHost"], True, id="localhost in capitals"),
    pytest.param(["gateway.internal:9464"], True, id="a name of the settings"),
    pytest.param(["GATEWAY.internal"], True, id="a name of the settings in capitals"),
    pytest.param(["admin:80"], True, id="a short name of the settings"),
    pytest.param(["evil.example:9464"], False, id="a rebound name"),
    pytest.param(["localhost.evil.example"], False, id="a name that begins with localhost"),
    pytest.param(["127.0.0.1.evil.example"], False, id="a name that begins with an address"),
    pytest.param(["x.gateway.internal"], False, id="a name below one of the settings"),
    pytest.param(["localhost."], False, id="localhost with a dot, which may be resolved elsewhere"),
    pytest.param(["127.1:9464"], False, id="a short form of an address"),
    pytest.param(["2130706433"], False, id="an address as one number"),
    pytest.param(["0x7f.0.0.1"], False, id="an address in hexadecimal"),
    pytest.param(["[127.0.0.1]"], False, id="an IPv4 address in brackets"),
    pytest.param(["::1"], False, id="an IPv6 address without brackets"),
    pytest.param(["[::1%25eth0]"], False, id="an address with a zone"),
    pytest.param(["[localhost]"], False, id="a name in brackets"),
    pytest.param(["127.0.0.1:"], False, id="no port behind the colon"),
    pytest.param(["127.0.0.1:9464@evil.example"], False, id="a user"),
    pytest.param(["127.0.0.1 evil.example"], False, id="two in one value"),
    pytest.param(["127.0.0.1,evil.example"], False, id="a list"),
    pytest.param([""], False, id="an empty value"),
    pytest.param([], False, id="no Host at all"),
    pytest.param(["127.0.0.1", "127.0.0.1"], False, id="two lines"),
    pytest.param(["127.0.0.1", "evil.example"], False, id="two lines that differ"),
]
JUDGED = [
    ("GET", "/api/status"),
    ("HEAD", "/api/status"),
    ("POST", "/-/reload"),
    ("POST", "/-/restart"),
    ("GET", "/api/"),
    ("GET", "/"),
]
FREE = [("GET", "/metrics"), ("GET", "/-/healthy"), ("GET", "/-/ready"), ("HEAD", "/-/ready")]


def status_of(house: House, method: str, path: str, hosts: list[str]) -> int:
    headers = [(b"host", host.encode()) for host in hosts]
    return play(request(house.app(), http_scope(method, path, headers))).status


@pytest.mark.parametrize(("hosts", "may"), ASKED)
def test_t118_only_an_address_or_a_known_name_reads_and_reloads(hosts: list[str], *, may: bool) -> None:
    house = House()
    house.hosts = HOSTS
    refused = {(method, path): status_of(house, method, path, hosts) == 403 for method, path in JUDGED}
    assert refused == dict.fromkeys(JUDGED, not may)
    assert house.looks == int(may)
    assert [status_of(house, method, path, hosts) for method, path in FREE] == [200] * len(FREE)


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready"])
def test_what_is_free_to_read_is_judged_for_anything_else(path: str) -> None:
    assert status_of(House(), "POST", path, ["evil.example"]) == 403
    assert status_of(House(), "POST", path, ["127.0.0.1"]) == 405


def test_a_name_is_of_the_settings_alone_and_a_refusal_says_where() -> None:
    house = House()
    status, found = house.answer("GET", "/api/status", {"host": "gateway.internal"})
    assert status == 403
    assert "gateway.admin_hosts" in found["problems"][0]["message"]


def test_names_in_an_answer_are_escaped() -> None:
    house = House()
    house.result, house.problems = "failure", (Problem("a\n\x1b[31m\u202e\x85\x7f.json", "X", "\udc80"),)
    _, _, body = play(call(house.app(), "POST", "/-/reload", {"host": "127.0.0.1"}))
    assert body.decode().isprintable()
    assert json.loads(body)["problems"][0]["where"] == "a\n\x1b[31m\u202e\x85\x7f.json"


def test_a_reload_that_hangs_is_answered_and_not_joined_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camguard.gateway.admin.RELOAD_SECONDS", 0.1)
    house = House()
    house.hanging.clear()

    async def scene() -> None:
        app = house.app()
        for _ in range(3):
            status, _, body = await call(app, "POST", "/-/reload", {"host": "127.0.0.1"})
            assert (status, json.loads(body)["problems"][0]["code"]) == (504, "ReloadTimeout")
        await until(lambda: house.looks)
        assert house.looks == 1
        assert (await call(app, "GET", "/metrics"))[0] == 200
        monkeypatch.setattr("camguard.gateway.admin.RELOAD_SECONDS", 30.0)
        house.hanging.set()
        assert (await call(app, "POST", "/-/reload", {"host": "127.0.0.1"}))[0] == 200
        assert house.looks == 2

    play(scene())


def test_a_reload_requested_during_another_one_is_done_after_it() -> None:
    house = House()
    house.hanging.clear()

    async def scene() -> None:
        app = house.app()
        asking = [
            asyncio.create_task(call(app, "POST", "/-/reload", {"host": "localhost"})) for _ in range(3)
        ]
        await until(lambda: house.looks)
        await settled()
        assert house.looks == 1
        house.hanging.set()
        assert [status for status, _, _ in await asyncio.gather(*asking)] == [200] * 3
        assert house.looks == 3

    play(scene())


def test_what_fails_apart_fails_where_it_is_awaited() -> None:
    def fail() -> None:
        raise ValueError("apart")

    with pytest.raises(ValueError, match="apart"):
        play(in_daemon_thread(fail))


def test_dec_55_the_answer_to_a_reload_has_the_findings() -> None:
    error = found("CG201", "policies/a.json#/statement/0/action", "no such action", "aiart:TextToImage")
    bundle = replace(make_bundle({}, {"owner": OWNER}, Catalog({})), findings=Findings((error,)))
    document = outcome_document(ReloadOutcome("success", 1.0, "ab12", (), bundle, (error,)))
    assert document["findings"] == {"error": 1, "warning": 0, "style": 0, "accepted": 0}
    assert document["new_errors"] == [
        {
            "where": "policies/a.json#/statement/0/action",
            "code": "CG201",
            "message": "no such action (did you mean aiart:TextToImage?)",
        }
    ]


# path and query, the status, the order that is carried out
ORDERS = [
    pytest.param("/-/reload", 200, None, id="a reload"),
    pytest.param("/-/reload?force=true", 200, ("reload", {"force": "true"}), id="a forced reload"),
    pytest.param("/-/rollback", 200, ("rollback", {}), id="a rollback"),
    pytest.param("/-/rollback?revision=ab", 200, ("rollback", {"revision": "ab"}), id="a named bundle"),
    pytest.param("/-/rollback?release=true", 200, ("rollback", {"release": "true"}), id="a release"),
    pytest.param("/-/promote", 200, ("promote", {}), id="a promotion"),
    pytest.param("/-/reload?force=1", 400, None, id="another word than true"),
    pytest.param("/-/reload?forced=true", 400, None, id="a misspelt option"),
    pytest.param("/-/promote?revision=wrong", 500, ("promote", {"revision": "wrong"}), id="one that fails"),
]


@pytest.mark.parametrize(("path", "status", "ordered"), ORDERS)
def test_an_order_is_carried_out_before_the_reload(path: str, status: int, ordered: Any) -> None:
    house, orders = House(), []

    def carry_out(name: str, options: Any) -> None:
        orders.append((name, dict(options)))
        if "wrong" in options.values():
            raise BundleError(Problem("x", "BundleError", "fails"))

    sources = Sources(house.render, list, list, house.reload, dict, carry_out)
    path, _, query = path.partition("?")
    scope = http_scope("POST", path, [(b"host", b"127.0.0.1:9464")]) | {"query_string": query.encode()}
    messages = asyncio.run(exchange(admin(sources), scope, body_of(b"")))
    assert messages[0]["status"] == status
    assert orders == ([] if ordered is None else [ordered])
    assert play(call(admin(sources), "GET", path, {"host": "127.0.0.1:9464"}))[0] == 405


def one(pid: int, result: str = "unchanged", revision: str = "ab12", message: str = "") -> WorkerOutcome:
    problems = [Problem("policies/a.json", "X", message)._asdict()] if message else []
    return WorkerOutcome(pid, result, revision, 7, problems)


# what the workers come to, the result, the places of the problems
CREWS = [
    pytest.param([one(1), one(2)], "unchanged", [], id="nothing is new to anybody"),
    pytest.param([one(1), one(2, "success")], "success", [], id="one worker found something new"),
    pytest.param(
        [one(1), one(2, "failure", message="is bad")],
        "failure",
        ["worker 2: policies/a.json"],
        id="one worker failed and is named",
    ),
    pytest.param(
        [one(1), failed(2, "WorkerSilent", "has sent nothing")],
        "failure",
        ["worker 2: worker"],
        id="one worker hangs and is named",
    ),
    pytest.param([one(1), one(2, revision="cd34")], "failure", ["workers"], id="two revisions"),
]


@pytest.mark.parametrize(("workers", "result", "places"), CREWS)
def test_a_reload_is_good_if_every_worker_did_it(
    workers: list[WorkerOutcome], result: str, places: list[str]
) -> None:
    house, forced = House(), []

    async def reload_workers(force: bool) -> list[WorkerOutcome]:
        forced.append(force)
        return workers

    house.result = "unchanged"
    sources = Sources(house.render, list, list, house.reload, dict, reload_workers=reload_workers)
    status, _, body = play(call(admin(sources), "POST", "/-/reload", {"host": "127.0.0.1:9464"}))
    document = json.loads(body)
    assert (status, document["result"]) == (500 if result == "failure" else 200, result)
    assert [problem["where"] for problem in document["problems"]] == places
    assert [row["pid"] for row in document["workers"]] == [1, 2]
    assert forced == [False]


RESTARTS = [
    pytest.param([one(1, "success"), one(2, "success")], 200, "success", id="all were replaced"),
    pytest.param([one(1, "success"), one(2, "failure", message="m")], 500, "failure", id="one cannot start"),
    pytest.param(SettingsError(Problem("f", "SettingsError", "m")), 500, "failure", id="wrong settings"),
    pytest.param(None, 409, "refused", id="one process has no workers"),
]


@pytest.mark.parametrize(("workers", "status", "result"), RESTARTS)
def test_the_answer_to_a_restart(workers: Any, status: int, result: str) -> None:
    house = House()

    async def restart() -> list[WorkerOutcome]:
        if isinstance(workers, SettingsError):
            raise workers
        return list(workers)

    sources = Sources(
        house.render, list, list, house.reload, dict, restart=None if workers is None else restart
    )
    found, _, body = play(call(admin(sources), "POST", "/-/restart", {"host": "127.0.0.1:9464"}))
    document = json.loads(body)
    assert (found, document["result"]) == (status, result)
    assert bool(document["problems"]) == (status != 200)
    foreign = {"host": "127.0.0.1:9464", "origin": "http://evil.example"}
    assert play(call(admin(sources), "POST", "/-/restart", foreign))[0] == 403


def test_readiness_shows_the_revisions_of_the_workers() -> None:
    house = House()
    sources = Sources(
        house.render, list, list, house.reload, dict, detail=lambda: {"revisions": {"1": "ab12"}}
    )
    _, _, body = play(call(admin(sources), "GET", "/-/ready", {"host": "127.0.0.1:9464"}))
    assert json.loads(body) == {"ready": True, "missing": [], "failing": [], "revisions": {"1": "ab12"}}
