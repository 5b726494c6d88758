"""`camguard init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camguard.authn.key_store import load_keys
from camguard.cli import main
from camguard.settings import load_settings


def keys(folder: Path) -> dict[str, dict[str, object]]:
    read: dict[str, dict[str, object]] = json.loads((folder / "keys.json").read_text())
    return read


def test_a_new_folder_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "camguard"
    assert main(["init", str(folder), "--format", "json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert [Path(path).name for path in written] == [
        *("camguard.toml", "catalog", "bundle", "requests.sh", "keys.json"),
    ]
    assert load_settings(folder / "camguard.toml", {}).identity.mode == "either"
    assert main(["test", "--config", str(folder / "camguard.toml")]) == 0


def test_keys_are_for_their_owner_only_and_drawn_each_time(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "a")]) == 0
    assert main(["init", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a/keys.json").stat().st_mode & 0o777 == 0o600
    assert len(load_keys(tmp_path / "a/keys.json")) == 3
    a, b = keys(tmp_path / "a"), keys(tmp_path / "b")
    assert [key["principal"] for key in a.values()] == [key["principal"] for key in b.values()]
    assert a.keys() & b.keys() == set()
    secrets = {str(key["secret_key"]) for key in (*a.values(), *b.values())}
    assert len(secrets) == len(a) + len(b)
    assert not any("example" in text for text in (*secrets, *a, *b))


@pytest.mark.parametrize("there", ["camguard.toml", "keys.json", "bundle"])
def test_nothing_is_replaced_and_nothing_written_beside_it(
    there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / there).write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert f"{there}: is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_keys_alone(tmp_path: Path) -> None:
    (tmp_path / "camguard.toml").write_text("mine")
    assert main(["init", str(tmp_path), "--only-keys"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camguard.toml", "keys.json"]
    assert main(["init", str(tmp_path), "--only-keys"]) == 2
