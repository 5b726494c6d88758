"""What settings were read from: another process makes the same of it, whatever became of the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from camguard.errors import SettingsError
from camguard.settings import load_settings
from camguard.settings.load import parse_settings
from camguard.settings.source import pack_source, read_source, state_of_file, unpack_source

TOML = (
    b'[enforcement]\nmode = "enforce"\n[catalog]\npath = "somewhere/catalog"\n# \xe6\x97\xa5\xe6\x9c\xac\r\n'
)
ENVIRON = {"CAMGUARD_GATEWAY__WORKERS": "3", "CAMGUARD_HOSTS__ROOTS": '["a.example"]', "HOME": "/secret"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "camguard.toml"
    path.write_bytes(TOML)
    return path


def unlinked(file: Path) -> None:
    file.unlink()


def edited(file: Path) -> None:
    file.write_bytes(TOML.replace(b'"enforce"', b'"shadow"'))


def broken(file: Path) -> None:
    file.write_bytes(b"[")


def replaced_by_a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def untouched(_file: Path) -> None:
    pass


def touched(file: Path) -> None:
    file.write_bytes(TOML)


LATER = [
    pytest.param(untouched, "unchanged", id="nothing happened to the file"),
    pytest.param(touched, "unchanged", id="the same was written again"),
    pytest.param(edited, "changed", id="the file was edited"),
    pytest.param(broken, "changed", id="the file was broken"),
    pytest.param(unlinked, "unreadable", id="the file is gone"),
    pytest.param(replaced_by_a_fifo, "unreadable", id="a FIFO is in its place"),
]


@pytest.mark.parametrize(("happens", "state"), LATER)
def test_a_source_makes_the_same_settings_whatever_became_of_the_file(
    file: Path, happens: Callable[[Path], None], state: str
) -> None:
    source = read_source(file, ENVIRON)
    before = parse_settings(source)
    happens(file)
    handed = unpack_source(pack_source(source))
    assert handed == source
    assert parse_settings(handed) == before
    assert parse_settings(handed).digest() == before.digest()
    assert state_of_file(handed) == state


def test_relative_paths_start_from_the_folder_of_the_file_and_not_from_where_a_process_runs(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    source = read_source(file.name, ENVIRON)
    (file.parent / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    settings = parse_settings(unpack_source(pack_source(source)))
    assert settings.catalog.path == file.parent / "somewhere" / "catalog"


def test_only_our_own_variables_are_handed_over(file: Path) -> None:
    source = read_source(file, ENVIRON)
    assert b"secret" not in pack_source(source)
    settings = parse_settings(source)
    assert (settings.gateway.workers, settings.hosts.roots) == (3, ("a.example",))


def test_the_digest_tells_settings_apart(file: Path) -> None:
    one = load_settings(file, {})
    assert one.digest() == load_settings(file, {"CAMGUARD_GATEWAY__WORKERS": "1"}).digest(), "the default"
    assert one.digest() != load_settings(file, {"CAMGUARD_GATEWAY__WORKERS": "2"}).digest()
    edited(file)
    assert one.digest() != load_settings(file, {}).digest()


def test_a_value_that_is_no_utf_8_is_handed_over(file: Path) -> None:
    source = read_source(file, {"CAMGUARD_GATEWAY__LISTEN": "\udcff"})
    assert unpack_source(pack_source(source)) == source
    with pytest.raises(SettingsError, match="without control characters"):
        parse_settings(source)
