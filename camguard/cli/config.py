"""`camguard config show`: the settings in force, each with the place that it comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from camguard.cli.inputs import add_config, require_config
from camguard.cli.output import Document, add_format, note, paint, show
from camguard.cli.parser import UsageError
from camguard.exit_codes import Exit
from camguard.files import display_path
from camguard.settings.load import parse_settings, parse_with_origins
from camguard.settings.source import PREFIX, read_source
from camguard.suggest import nearest

_WIDEST = 48  # characters of a setting behind which the origins of the others are aligned


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `config show`."""
    parser = verbs.add_parser("config", help="show the settings in force, and where each comes from")
    inner = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    look = inner.add_parser(
        "show",
        help="print the settings in force, and where each comes from",
        description="Print the settings in force: the defaults, replaced by the settings file, replaced by "
        f"environment variables {PREFIX}SECTION__KEY. The text form is TOML. User, password and query of a "
        "URL are blanked.",
    )
    look.add_argument("name", nargs="?", metavar="SECTION[.KEY]", help="only this (default: all settings)")
    look.add_argument("--changed", action="store_true", help="only settings that differ from their default")
    add_config(look)
    add_format(look)
    look.set_defaults(run=run_show)


def run_show(args: argparse.Namespace) -> Exit:
    """Print the settings in force. Raises SettingsError if they cannot be used."""
    config = require_config(args.config)
    source = read_source(config)
    settings, places = parse_with_origins(source)
    values = settings.effective()
    defaults = parse_settings(source._replace(text=b"", environ={})).effective()
    section, _, key = (args.name or "").partition(".")
    known = [*values, *(f"{name}.{each}" for name, keys in values.items() for each in keys)]
    if args.name and args.name not in known:
        raise UsageError(f"{args.name}: no such setting{nearest(args.name, known)}")
    chosen = {
        name: {
            each: _describe(value, defaults[name].get(each), places.get((name, each)))
            for each, value in keys.items()
            if key in ("", each) and not (args.changed and value == defaults[name].get(each))
        }
        for name, keys in values.items()
        if section in ("", name)
    }
    shown = {name: keys for name, keys in chosen.items() if keys}
    document = {"file": display_path(config), "settings": shown}
    show(args.format, document, render)
    if not shown:
        note("none of these settings differs from its default")
    return Exit.OK


def _describe(value: object, default: object, place: str | None) -> dict[str, object]:
    """Return a setting. place: where it was written, None for a default that was not written."""
    origin = "default" if place is None else "environment" if place.startswith(PREFIX) else "file"
    return {"value": value, "default": default, "from": origin, "place": place}


def render(document: Document) -> Iterator[str]:
    """Yield the settings as TOML, with the origin of each as a comment."""
    yield paint(f"# {document['file']} with the defaults and the environment", "dim")
    for section, keys in document["settings"].items():
        yield ""
        yield paint(f"[{section}]", "strong")
        lines = {key: f"{key} = {_literal(each['value'])}" for key, each in keys.items()}
        width = max((len(line) for line in lines.values() if len(line) <= _WIDEST), default=0)
        for key, line in lines.items():
            yield f"{line:{width}}  {paint('# ' + _origin(keys[key]), 'dim')}"


def _origin(setting: Document) -> str:
    origin: str = setting["from"]
    return f"environment, {setting['place']}" if origin == "environment" else origin


def _literal(value: Any) -> str:
    """Return a value as TOML: every text that JSON writes is TOML, too; no value is empty text."""
    if value is None:
        return '""'
    if isinstance(value, dict):
        members = ", ".join(f"{json.dumps(key)} = {_literal(member)}" for key, member in value.items())
        return f"{{{members}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False)
