"""Finds the settings file, the bundle and the catalog that a verb works with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from camguard.bundle import Bundle, load_bundle
from camguard.cli.starter import starter
from camguard.errors import BundleError, Problem, SettingsError
from camguard.settings import EnforcementSettings, load_settings

PLACES = (Path("camguard.toml"), Path("config/camguard.toml"))


class Source(NamedTuple):
    """The folder of a bundle, its catalog, and the settings that change its decisions."""

    bundle: Path
    catalog: Path
    enforcement: EnforcementSettings


def add_config(parser: argparse.ArgumentParser) -> None:
    """Give a verb `--config`."""
    places = " or ".join(map(str, PLACES))
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {places})")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Give a verb `--config`, `--bundle` and `--catalog`."""
    add_config(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="judge by this bundle (default: the settings')"
    )
    parser.add_argument(
        "--catalog", type=Path, metavar="PATH", help="with these actions (default: the settings')"
    )


def find_config(named: Path | None) -> Path | None:
    """Return the settings file that was named, else the first of PLACES that exists here, else None."""
    return named or next((place for place in PLACES if place.is_file()), None)


def the_config(named: Path | None) -> Path:
    """Return the settings file that was named or found. Raises SettingsError where there is none."""
    found = find_config(named)
    if found is None:
        places = " nor ".join(map(str, PLACES))
        problem = (
            f"neither {places} is here; name one with --config, or make a folder with `camguard init DIR`"
        )
        raise SettingsError(Problem("--config", "SettingsError", problem))
    return found


def find_source(args: argparse.Namespace) -> Source:
    """Return what `--config`, `--bundle` and `--catalog` name.

    A bundle named without settings in sight is judged by the catalog that camguard carries.
    Raises SettingsError, and BundleError where the bundle is no folder of this machine.
    """
    config = find_config(args.config)
    if config is None and args.bundle:
        return Source(args.bundle, args.catalog or starter() / "catalog", EnforcementSettings())
    settings = load_settings(the_config(config))
    if not args.bundle and "://" in settings.policy.source:
        problem = f"{settings.policy.source} is not a folder; name an unpacked one with --bundle"
        raise BundleError(Problem("policy.source", "BundleError", problem))
    return Source(
        args.bundle or Path(settings.policy.source),
        args.catalog or settings.catalog.path,
        settings.enforcement,
    )


def read_bundle(source: Source) -> Bundle:
    """Return the bundle. Raises CatalogError or BundleError with every problem found."""
    return load_bundle(
        source.bundle,
        catalog=source.catalog,
        ip_support=source.enforcement.ip_support,
        unknown_action=source.enforcement.unknown_action,
    )
