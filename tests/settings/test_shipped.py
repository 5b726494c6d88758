"""config/camguard.toml is the reference of settings: it names every key, each with its default."""

from __future__ import annotations

import tomllib
from pathlib import Path

from camguard.settings import Settings, load_settings

# What is shipped for trying out; the file says so beside each of them.
FOR_TRYING_OUT = {"identity.mode", "client_ip.trusted_proxies", "upstream.default"}


def flat(sections: dict[str, dict[str, object]]) -> dict[str, object]:
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


def test_every_setting_is_in_the_file(repository: Path) -> None:
    written = tomllib.loads((repository / "config/camguard.toml").read_text(encoding="utf-8"))
    assert flat(written).keys() == flat(Settings().effective()).keys()


def test_the_file_holds_the_defaults_but_for_what_is_for_trying_out(repository: Path) -> None:
    folder = repository / "config"
    shipped = flat(load_settings(folder / "camguard.toml", {}).effective())
    defaults = flat(Settings().effective())
    differ = {
        key for key, value in shipped.items() if str(value).replace(f"{folder}/", "") != str(defaults[key])
    }
    assert differ == FOR_TRYING_OUT
    text = (folder / "camguard.toml").read_text(encoding="utf-8")
    assert text.count("# shipped for trying out") == len(FOR_TRYING_OUT)
