"""What the admin listener answers, asked in process."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from starlette.types import ASGIApp

from camguard.bundle.store import ReloadOutcome, Result
from camguard.errors import Problem
from camguard.gateway.admin import Sources, admin
from tests.gateway.stage import call, play


class House:
    """Stand in for the parts of a running gateway."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.result: Result = "success"
        self.problems: tuple[Problem, ...] = ()
        self.rendering = 0
        self.most_rendering = 0

    def render(self) -> bytes:
        """Take a while, off the event loop."""
        assert threading.current_thread() is not threading.main_thread()
        self.rendering += 1
        self.most_rendering = max(self.most_rendering, self.rendering)
        time.sleep(0.01)
        self.rendering -= 1
        return b"camguard_build_info 1\n"

    def reload(self) -> ReloadOutcome:
        """Come to what the test says."""
        return ReloadOutcome(self.result, 1.0, "ab12", self.problems, None)

    def app(self) -> ASGIApp:
        """Return the application over this house."""
        return admin(Sources(self.render, lambda: self.missing, self.reload, lambda: {"revision": "ab12"}))

    def answer(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Ask the application; return status and what the body says."""
        status, _, body = play(call(self.app(), method, path, {"host": "127.0.0.1:9090"} | (headers or {})))
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
    pytest.param([], 200, {"ready": True, "missing": []}, id="nothing is missing"),
    pytest.param(["bundle"], 503, {"ready": False, "missing": ["bundle"]}, id="no bundle was ever good"),
    pytest.param(
        ["stale", "stopping"], 503, {"ready": False, "missing": ["stale", "stopping"]}, id="two things"
    ),
]


@pytest.mark.parametrize(("missing", "status", "body"), READY)
def test_ready(missing: list[str], status: int, body: dict[str, Any]) -> None:
    house = House()
    house.missing = missing
    assert house.answer("GET", "/-/ready") == (status, body)


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
    said = {"result": result, "revision": "ab12", "problems": [problem._asdict() for problem in problems]}
    assert house.answer("POST", "/-/reload") == (status, said)


REFUSED = [
    pytest.param("GET", {}, 405, id="a reload by GET"),
    pytest.param("POST", {"origin": "http://evil.example"}, 403, id="a reload from another site's page"),
    pytest.param("POST", {"origin": "null"}, 403, id="a reload from a page without an origin"),
    pytest.param("POST", {"origin": "http://127.0.0.1:9090"}, 200, id="a reload from the console"),
]


@pytest.mark.parametrize(("method", "headers", "status"), REFUSED)
def test_who_may_reload(method: str, headers: dict[str, str], status: int) -> None:
    assert House().answer(method, "/-/reload", headers)[0] == status


def test_status_is_json() -> None:
    assert House().answer("GET", "/api/status") == (200, {"revision": "ab12"})
