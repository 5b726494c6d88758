"""Metrics, health and readiness beside the middleware, and when its parts start."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount

from camguard import CamguardMiddleware
from camguard.asgi import admin_app
from camguard.bundle import store as store_module
from camguard.errors import SettingsError
from tests.asgi import http_scope, request
from tests.running import PATIENCE
from tests.test_middleware import alive


@pytest.fixture
def config(tmp_path: Path, repository: Path) -> Path:
    """Return settings over a copy of the shipped bundle, with callers named by a trusted proxy."""
    shutil.copytree(repository / "config/bundle", tmp_path / "bundle")
    file = tmp_path / "camguard.toml"
    file.write_text(
        f"""
        catalog.path = "{repository}/config/catalog"
        policy.poll_seconds = 0.1
        hosts.health_path = "/healthz"
        identity.mode = "header"
        client_ip.trusted_proxies = ["127.0.0.1"]
        decision_log.path = ""
        """
    )
    return file


def guarded(config: Path) -> CamguardMiddleware:
    return CamguardMiddleware(Starlette(), config, registry=CollectorRegistry())


def test_a_guarded_application_shows_its_numbers_and_whether_it_is_ready(config: Path) -> None:
    middleware = guarded(config)
    app = admin_app(middleware)

    async def scene() -> None:
        metrics = await request(app, http_scope("GET", "/metrics"))
        assert metrics.status == 200
        assert b"camguard_build_info" in metrics.body
        assert (await request(app, http_scope("GET", "/-/healthy"))).status == 200
        ready = await request(app, http_scope("GET", "/-/ready"))
        assert (ready.status, json.loads(ready.body)["missing"]) == (200, [])
        assert middleware.ready

    asyncio.run(scene())
    middleware.stop()


def test_without_a_bundle_nothing_is_ready(config: Path) -> None:
    (config.parent / "bundle/principals.json").write_text("{")
    middleware = guarded(config)

    async def scene() -> None:
        ready = await request(admin_app(middleware), http_scope("GET", "/-/ready"))
        assert (ready.status, json.loads(ready.body)["missing"]) == (503, ["bundle"])
        assert (await request(middleware, http_scope("GET", "/healthz"))).status == 503
        assert not middleware.ready

    asyncio.run(scene())
    middleware.stop()


def test_a_middleware_of_a_guard_has_no_numbers_to_show(config: Path) -> None:
    parts = guarded(config).components
    assert parts is not None
    with pytest.raises(SettingsError, match="given config"):
        admin_app(CamguardMiddleware(Starlette(), guard=parts.guard))


async def activates(middleware: CamguardMiddleware, config: Path) -> bool:
    """Return whether a change of the bundle is activated without any request."""
    assert middleware.components is not None
    before = middleware.components.store.bundle
    shutil.copy(config.parent / "bundle/policies/aiart-read.json", config.parent / "bundle/policies/new.json")
    for _ in range(1200):  # a minute
        if middleware.components.store.bundle is not before:
            return True
        await asyncio.sleep(0.05)
    return False


def test_a_mounted_application_polls_from_the_start_of_the_server(config: Path) -> None:
    middleware = guarded(config)
    app = Starlette(routes=[Mount("/", middleware)], lifespan=middleware.lifespan)

    async def scene() -> bool:
        async with alive(app):
            return await activates(middleware, config)

    assert asyncio.run(scene())


def test_a_middleware_that_is_made_in_an_event_loop_polls_at_once(config: Path) -> None:
    async def scene() -> bool:
        middleware = guarded(config)
        try:
            return await activates(middleware, config)
        finally:
            middleware.stop()

    assert asyncio.run(scene())


@pytest.mark.parametrize("path", ["/healthz", "/"])
def test_the_first_request_after_a_pause_is_judged_by_what_is_in_the_files_then(
    config: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T82: what was revoked between the import of an application and its first request is not in force."""
    monkeypatch.setattr(store_module, "CATCH_UP_SECONDS", PATIENCE)
    middleware = guarded(config)
    assert middleware.components is not None
    before = middleware.components.store.bundle

    async def scene() -> None:
        await asyncio.sleep(0.2)
        (config.parent / "bundle/policies/aiart-create.json").unlink()
        await request(middleware, http_scope("GET", path))

    asyncio.run(scene())
    assert middleware.components.store.bundle is not before
    middleware.stop()


def test_a_source_that_hangs_after_a_pause_leaves_nothing_in_force(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CATCH_UP_SECONDS", 0.05)
    middleware = guarded(config)
    parts = middleware.components
    assert parts is not None
    monkeypatch.setattr(parts.store, "reload", lambda: None)  # a poll that never ends

    async def scene() -> int:
        await asyncio.sleep(0.2)
        return (await request(middleware, http_scope("GET", "/healthz"))).status

    assert asyncio.run(scene()) == 503
    assert parts.missing() == ["stale"]
    middleware.stop()


def test_a_bundle_that_breaks_in_a_pause_leaves_the_last_good_one(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CATCH_UP_SECONDS", PATIENCE)
    middleware = guarded(config)

    async def scene() -> int:
        await asyncio.sleep(0.2)
        (config.parent / "bundle/principals.json").write_text("{")
        return (await request(middleware, http_scope("GET", "/healthz"))).status

    assert asyncio.run(scene()) == 200
    middleware.stop()


def test_a_log_that_cannot_be_written_stops_the_start(config: Path) -> None:
    config.write_text(config.read_text().replace('path = ""', 'path = "missing/log"'))
    with pytest.raises(SettingsError, match=r"decision_log.path: .*/missing/log cannot be written"):
        guarded(config)
