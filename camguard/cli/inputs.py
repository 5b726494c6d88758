"""Finds the settings file, the bundle and the catalog that a verb works with.

camguard carries settings, a catalog and a sample bundle: in a wheel inside of the package, in a checkout in
`config/`. `camguard init` copies them, and verbs without a settings file use their catalog.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import camguard
from camguard.bundle import Bundle
from camguard.bundle.archive import Archive, read_archive
from camguard.bundle.load import Content, build_bundle, content_of, read_content, require_complete
from camguard.bundle.signature import VerifyKey
from camguard.bundle.ustar import ARCHIVE_BYTES
from camguard.catalog import read_catalog
from camguard.errors import BundleError, CamguardError, Problem, SettingsError
from camguard.files import read_file
from camguard.ipset import NO_MAP, AddressMap
from camguard.settings import AttributesSettings, EnforcementSettings, Settings, load_settings
from camguard.settings.values import is_url

K = TypeVar("K")
T = TypeVar("T")

URL_PARTS = ("http:", "https:")  # the first part of a path that was written as a URL
PLACES = (Path("camguard.toml"), Path("config/camguard.toml"))


class Inputs(NamedTuple):
    """The folder of a bundle, its catalog, and the settings that change its decisions.

    aliases: the setting `hosts.aliases`. verify_key_file: the setting `policy.verify_key_file`.
    """

    bundle: Path
    catalog: Path
    enforcement: EnforcementSettings
    strict: bool = False  # findings of severity error refuse the bundle
    egress: AddressMap = NO_MAP
    attributes: AttributesSettings = AttributesSettings()
    aliases: Mapping[str, str] = MappingProxyType({})
    verify_key_file: Path | None = None


def add_config(parser: argparse.ArgumentParser) -> None:
    """Give a verb `--config`."""
    places = " or ".join(map(str, PLACES))
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {places})")


def add_catalog(
    parser: argparse.ArgumentParser, text: str = "with these actions (default: the settings')"
) -> None:
    """Give a verb `--catalog`. text: its help."""
    parser.add_argument("--catalog", type=Path, metavar="PATH", help=text)


def add_inputs(parser: argparse.ArgumentParser, *, archives: bool = False) -> None:
    """Give a verb `--config`, `--bundle` and `--catalog`.

    archives: whether the bundle may be an archive, because the verb calls `read_folder_or_archive`.
    """
    add_config(parser)
    kinds = ", a folder or an archive" if archives else ""
    text = f"judge by this bundle{kinds} (default: the settings')"
    parser.add_argument("--bundle", type=Path, metavar="PATH" if archives else "DIR", help=text)
    add_catalog(parser)


def sample_folder() -> Path:
    """Return the folder that camguard carries. Raises SettingsError if the installation lacks it."""
    package = Path(camguard.__file__).parent
    for folder in (package / "_starter", package.parent / "config"):
        if (folder / "camguard.toml").is_file():
            return folder
    problem = Problem(str(package / "_starter"), "SettingsError", "is missing: install camguard again")
    raise SettingsError(problem)


def find_config(named: Path | None) -> Path | None:
    """Return the named settings file, else the first of PLACES that exists, else None."""
    return named or next((place for place in PLACES if place.is_file()), None)


def require_config(named: Path | None) -> Path:
    """Return the named settings file, else the first of PLACES that exists. Raises SettingsError."""
    found = find_config(named)
    if found is None:
        places = " nor ".join(map(str, PLACES))
        problem = (
            f"neither {places} is here; name one with --config, or make a folder with `camguard init DIR`"
        )
        raise SettingsError(Problem("--config", "SettingsError", problem))
    return found


def find_settings(named: Path | None) -> Settings | None:
    """Return the settings in the named file, else in the first of PLACES that exists, else None."""
    found = find_config(named)
    return None if found is None else load_settings(found)


def catalog_of(settings: Settings | None) -> Path:
    """Return the catalog that the settings name; without settings, the one that camguard carries."""
    return settings.catalog.path if settings else sample_folder() / "catalog"


def find_inputs(args: argparse.Namespace, *, bundle: bool = True) -> Inputs:
    """Return what `--config`, `--bundle` and `--catalog` name.

    bundle: whether the verb needs a folder. A bundle that is named where no settings file exists is judged by
    the catalog that camguard carries.
    Raises SettingsError, also if the settings name a bundle that is not a folder.
    """
    if bundle and args.bundle and args.bundle.parts[0] in URL_PARTS:
        raise _no_folder("the bundle")
    config = find_config(args.config)
    if config is None and (args.bundle or not bundle):
        return Inputs(args.bundle or Path(), args.catalog or catalog_of(None), EnforcementSettings())
    settings = load_settings(require_config(config))
    return Inputs(
        args.bundle or (source_folder(settings) if bundle else Path()),
        args.catalog or catalog_of(settings),
        settings.enforcement,
        settings.policy.strict,
        settings.client_ip.egress,
        settings.attributes,
        settings.hosts.aliases,
        settings.policy.verify_key_file,
    )


def source_folder(settings: Settings) -> Path:
    """Return the folder of the bundle that the settings name. Raises SettingsError: it is a URL."""
    if is_url(settings.policy.source):
        raise _no_folder("policy.source")
    return Path(settings.policy.source)


def _no_folder(where: str) -> SettingsError:
    problem = "is a URL; name the folder that its bundles are built from"
    return SettingsError(Problem(where, "SettingsError", problem))


def read_bundle(inputs: Inputs) -> Bundle:
    """Return the bundle. Raises CatalogError or BundleError that lists every problem."""
    return build(inputs, read_content(inputs.bundle, inputs.catalog))


def read_both(read: Callable[[K], T], old: K, new: K) -> tuple[T, T]:
    """Return what `read` makes of two inputs. Raises CamguardError with the problems of both."""
    found: list[T] = []
    problems: list[Problem] = []
    for each in (old, new):
        try:
            found.append(read(each))
        except CamguardError as error:
            problems += error.problems
    if problems:
        raise CamguardError(*problems)
    return found[0], found[1]


@contextmanager
def problems_under(path: Path) -> Iterator[None]:
    """Put a path before the place of every problem that is raised meanwhile."""
    try:
        yield
    except CamguardError as error:
        raise CamguardError(
            *(each._replace(where=f"{path}: {each.where}") for each in error.problems)
        ) from None


def read_folder_or_archive(inputs: Inputs) -> Bundle:
    """Return the bundle in a folder, or in an archive of which no signature is verified.

    For verbs that only show what a bundle would decide. Raises CatalogError, BundleError.
    """
    if not inputs.bundle.is_file():
        return read_bundle(inputs)
    files = read_archive_file(inputs.bundle)[0].files
    require_complete(files, str(inputs.bundle))
    return build(inputs, content_of(files, read_catalog(inputs.catalog)))


def read_archive_file(path: Path, *, key: VerifyKey | None = None) -> tuple[Archive, int]:
    """Return the archive in a file, and the bytes that the file has.

    Problems have the name of the file before their place inside. key: verifies the signature; None: no
    signature is verified. Raises BundleError.
    """
    try:
        raw = read_file(path, ARCHIVE_BYTES)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise BundleError(Problem(os.fspath(path), "ArchiveError", message)) from None
    with problems_under(path):
        return read_archive(raw, key=key), len(raw)


def build(inputs: Inputs, content: Content) -> Bundle:
    """Return the bundle that a content describes. Raises CatalogError or BundleError."""
    return build_bundle(
        content,
        ip_support=inputs.enforcement.ip_support,
        unknown_action=inputs.enforcement.unknown_action,
        egress=inputs.egress,
        attribute_keys=inputs.attributes.keys,
        strict=inputs.strict,
        aliases=inputs.aliases,
    )
