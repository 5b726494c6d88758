"""nginx with the shipped configuration, as the TLS front of a gateway that tests run."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.running import PATIENCE, ROOT, Gateway, camguard, running

DEPLOY = ROOT / "config" / "deploy"
HOST = "aiart.gateway.example"
HERE_MAY_DRAW = {"10.1.0.0/16": "127.0.0.0/8"}  # the office of the sample policy is this machine

MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


class Nginx(NamedTuple):
    """A running nginx. certificate: of the authority that clients must trust. log: of the calls."""

    port: int
    certificate: Path
    log: Path

    @property
    def address(self) -> str:
        """The host that clients call, with the port."""
        return f"{HOST}:{self.port}"

    def calls(self) -> list[str]:
        """Return the lines of the access log, of which nginx writes one soon after the answer."""
        until = time.monotonic() + PATIENCE
        while not (self.log.exists() and self.log.stat().st_size) and time.monotonic() < until:
            time.sleep(0.02)
        return self.log.read_text().splitlines() if self.log.exists() else []


def program() -> str:
    """Return the path of nginx, or skip."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed; .ci/run fetches it")
    return found


def certify(folder: Path) -> Path:
    """Write gateway.key and gateway.crt for *.gateway.example; return the latter, or skip without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, crt = folder / "gateway.key", folder / "gateway.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"]
    command += ["-keyout", str(key), "-out", str(crt), "-addext", "subjectAltName=DNS:*.gateway.example"]
    subprocess.run(command, check=True, capture_output=True)
    return crt


def replaced(text: str, changes: dict[str, str]) -> str:
    """Return a shipped text with other places in it. Each of them must occur."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(folder: Path, gateway: int) -> Iterator[Nginx]:
    """Run nginx with the shipped files. gateway: the port of the gateway behind it."""
    argv = [program(), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    (folder / "conf.d").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    for name, changes in {
        "camguard-upstream.conf": {"127.0.0.1:8080": f"127.0.0.1:{gateway}"},
        "camguard.conf": {
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "/etc/nginx/tls/": f"{folder}/",
            "/var/log/nginx/": f"{folder}/",
        },
    }.items():
        text = replaced((DEPLOY / "nginx" / name).read_text(encoding="utf-8"), changes)
        (folder / "conf.d" / name).write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # its folders are of the user who runs the tests
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    found = Nginx(port, certify(folder), folder / "access.log")
    checked = subprocess.run([*argv, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert time.monotonic() < until, "nginx does not listen"
                time.sleep(0.02)
            yield found
        finally:
            process.terminate()


@contextlib.contextmanager
def deployed(folder: Path, **overrides: str) -> Iterator[Gateway]:
    """Run a gateway with the shipped settings for real use, on the sample company.

    The office, from which alice may draw, is loopback. folder: is written. overrides: settings as
    SECTION__KEY.
    """
    camguard("init", str(folder)).check_returncode()
    shutil.copyfile(DEPLOY / "camguard.toml", folder / "camguard.toml")
    policy = folder / "bundle" / "policies" / "aiart-create.json"
    policy.write_text(replaced(policy.read_text(encoding="utf-8"), HERE_MAY_DRAW))
    with running(folder, **{"UPSTREAM__DEFAULT": "echo", **overrides}) as gateway:
        yield gateway
