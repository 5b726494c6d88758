"""From a folder to a bundle, whole or not at all (design 6.2).

Rule 1: files are read once; what is parsed are the bytes that were digested (threats T107).
Rule 2: every problem of every file is listed; with one of them nothing is activated.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from camguard.bundle.model import Bundle
from camguard.bundle.principals import Principals, read_principals
from camguard.catalog import parse_catalog, read_catalog
from camguard.catalog.model import Catalog
from camguard.engine.decide import TABLES, Tables
from camguard.engine.vocabulary import IpSupport, UnknownAction
from camguard.errors import BundleError, CamguardError, Problem
from camguard.policy.document import parse_policy
from camguard.policy.lint import errors
from camguard.policy.model import Policy
from camguard.strict_json import read_json

PRINCIPALS = "principals.json"
POLICIES = "policies"
_UNLISTED = frozenset(("CG201", "CG207"))  # a deny of names that a known service does not list
MIN_FILES = 2  # principals.json and one policy
MAX_FILE = 4 << 20  # bytes of one policy; principals.json may be larger
MAX_PRINCIPALS = 256 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a bundle and of its catalog, sorted by path, and the digest that names them all."""

    files: Mapping[str, bytes]
    catalog: Mapping[str, bytes]
    digest: str


def read_content(folder: Path, catalog: Path) -> Content:
    """Read a bundle folder and a catalog once.

    Raises BundleError when it is no such folder or cannot be read, CatalogError likewise.
    """
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    folder = folder.resolve()  # once: a symlink swapped meanwhile must not mix two bundles
    problems += _misplaced(folder / POLICIES)
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        try:
            size = path.stat().st_size
            if size > (MAX_PRINCIPALS if name == PRINCIPALS else MAX_FILE):
                problems.append(Problem(name, "BundleError", f"is too large: {size} bytes"))
            else:
                files[name] = path.read_bytes()
        except OSError as exc:
            problems.append(Problem(name, "BundleError", f"cannot be read: {exc.strerror}"))
    if PRINCIPALS not in files and not problems:
        problems.append(Problem(str(folder), "BundleError", f"there is no {PRINCIPALS} in this folder"))
    if len(files) < MIN_FILES and not problems:  # an emptied folder is no wish to deny everything (T108)
        problems.append(Problem(str(folder / POLICIES), "BundleError", "holds no policy (<id>.json)"))
    if problems:
        raise BundleError(*problems)
    listed = read_catalog(catalog)
    digest = hashlib.sha256()
    named = {**files, **{f"catalog/{Path(name).name}": raw for name, raw in listed.items()}}
    for name, raw in named.items():
        for part in (name.encode(), raw):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return Content(MappingProxyType(files), listed, digest.hexdigest())


def _paths(folder: Path) -> Iterator[Path]:
    """Yield the files that make a bundle. Editors' leftovers and dot files are none."""
    principals = folder / PRINCIPALS
    if principals.exists() or principals.is_symlink():
        yield principals
    policies = folder / POLICIES
    if policies.is_dir():
        yield from sorted(p for p in policies.iterdir() if p.suffix == ".json" and not p.name.startswith("."))


def _misplaced(policies: Path) -> Iterator[Problem]:
    """Yield what looks like a policy and would be passed over: it could be one that denies (threats T85)."""
    for path in sorted(policies.iterdir()) if policies.is_dir() else ():
        where = f"{POLICIES}/{path.name}"
        if path.name.startswith("."):
            continue
        if path.is_dir() and path.suffix != ".json":
            yield Problem(where, "BundleError", "is a folder; policies stand side by side, as <id>.json")
        elif path.suffix != ".json" and path.suffix.lower() == ".json":
            yield Problem(where, "BundleError", "is no policy under this name; write .json in small letters")


def make_bundle(  # noqa: PLR0913 - the parts of a bundle, each named
    policies: Mapping[str, Policy],
    principals: Any,
    catalog: Catalog,
    *,
    ip_support: IpSupport = "catalog",
    unknown_action: UnknownAction = "refuse",
    tables: int = TABLES,
    revision: str = "",
) -> Bundle:
    """Return a bundle of parsed policies and a parsed principals.json. Raises BundleError.

    tables: how many sets of layers stay compiled.
    """
    people = read_principals(principals, PRINCIPALS)
    if not isinstance(people, Principals):
        raise BundleError(*people)
    return _bundle(policies, people, catalog, ip_support, unknown_action, tables, revision)


def _bundle(  # noqa: PLR0913, PLR0917 - the parts of a bundle
    policies: Mapping[str, Policy],
    people: Principals,
    catalog: Catalog,
    ip_support: IpSupport,
    unknown_action: UnknownAction,
    tables: int,
    revision: str,
) -> Bundle:
    compiled = Tables(
        catalog=catalog,
        policies=policies,
        principals=people.layers,
        owner=people.owner,
        ip_support=ip_support,
        unknown_action=unknown_action,
        size=tables,
    )
    return Bundle(revision, catalog, MappingProxyType(dict(policies)), people, compiled)


def load_bundle(
    path: str | Path,
    catalog: str | Path,
    *,
    ip_support: IpSupport = "catalog",
    unknown_action: UnknownAction = "refuse",
) -> Bundle:
    """Return the bundle in a folder.

    catalog: the folder of catalog files, or one of them.
    Raises BundleError that lists every problem of every file, or CatalogError.
    """
    content = read_content(Path(path), Path(catalog))
    return build_bundle(content, ip_support=ip_support, unknown_action=unknown_action)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold off garbage collection, of all threads, for what makes many objects and no garbage in cycles.

    Each of them would be walked again and again, in stretches that let no other thread on: at 100,000
    principals a tenth of a second and more.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_uncollected()
def build_bundle(
    content: Content, *, ip_support: IpSupport, unknown_action: UnknownAction, tables: int = TABLES
) -> Bundle:
    """Return the bundle that some content makes. Raises BundleError or CatalogError."""
    catalog = parse_catalog(content.catalog)
    problems: list[Problem] = []
    policies: dict[str, Policy] = {}
    people: Principals | tuple[Problem, ...] = ()
    for name, raw in content.files.items():
        try:
            if name == PRINCIPALS:
                people = read_principals(read_json(raw, name, BundleError, "PrincipalsError"), name)
            else:
                policy = parse_policy(raw, source=name)
                policies[policy.id] = policy
                problems += _errors(policy, catalog, ip_support, unknown_action)
        except CamguardError as exc:
            problems += exc.problems
    if not isinstance(people, Principals):
        raise BundleError(*problems, *people)
    if problems:
        raise BundleError(*problems)
    return _bundle(policies, people, catalog, ip_support, unknown_action, tables, content.digest)


def _errors(
    policy: Policy, catalog: Catalog, ip_support: IpSupport, unknown_action: UnknownAction
) -> Iterator[Problem]:
    """Yield the findings that stop activation: what widens an allow or weakens a deny."""
    for finding in errors(policy, catalog, ip_support=ip_support):
        if unknown_action == "judge" and finding.code in _UNLISTED:
            continue  # such names are judged, so the deny does deny
        instead = f"; write {finding.instead}" if finding.instead else ""
        yield Problem(finding.where, finding.code, finding.message + instead)
