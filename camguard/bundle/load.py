"""Loads a folder as a bundle, completely or not at all.

Rule 1: each file is read once, and the digested bytes are the parsed bytes (T107).
Rule 2: every problem of every file is listed; with any problem nothing is activated.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from camguard.bundle.model import Bundle
from camguard.catalog import parse_catalog, read_catalog
from camguard.catalog.model import Catalog
from camguard.engine.action_index import ActionIndex, IpSupport, UnknownAction
from camguard.engine.evaluator import MAX_TABLES, Evaluator
from camguard.engine.principals import Principals, read_principals
from camguard.errors import BundleError, CamguardError, Problem
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, list_folder, read_folder
from camguard.policy.document import Document, parse_document
from camguard.policy.model import Policy
from camguard.strict_json import read_json

PRINCIPALS = "principals.json"
POLICIES = "policies"
_UNLISTED = frozenset(("CG201", "CG207"))  # a deny names an action that the catalog does not list
MIN_FILES = 2  # principals.json and one policy


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
    principals, policies = folder / PRINCIPALS, folder / POLICIES
    try:
        entries = list_folder(policies) if policies.is_dir() else []
    except OSError as exc:
        raise BundleError(Problem(POLICIES, "BundleError", f"cannot be read: {exc.strerror}")) from None
    problems += _misplaced(entries)
    for path, read in read_folder(
        _paths(principals, entries), lambda path: FOLDER_BYTES if path == principals else DOCUMENT_BYTES
    ):
        name = path.relative_to(folder).as_posix()
        if isinstance(read, OSError):
            problems.append(Problem(name, "BundleError", f"cannot be read: {read.strerror}"))
        else:
            files[name] = read
    if PRINCIPALS not in files and not problems:
        problems.append(Problem(str(folder), "BundleError", f"there is no {PRINCIPALS} in this folder"))
    # An empty folder is a mistake, not a policy that denies everything (T108).
    if len(files) < MIN_FILES and not problems:
        problems.append(Problem(str(folder / POLICIES), "BundleError", "holds no policy (<id>.json)"))
    if problems:
        raise BundleError(*problems)
    listed = read_catalog(catalog)
    digest = hashlib.sha256()
    named = {**files, **{f"catalog/{Path(name).name}": raw for name, raw in listed.items()}}
    for name, raw in named.items():
        for part in (os.fsencode(name), raw):  # a file's name may be no UTF-8
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return Content(MappingProxyType(files), listed, digest.hexdigest())


def _paths(principals: Path, policies: list[Path]) -> Iterator[Path]:
    """Yield the files that belong to a bundle: dot files and files of editors do not."""
    if principals.exists() or principals.is_symlink():
        yield principals
    yield from (path for path in policies if path.suffix == ".json" and not path.name.startswith("."))


def _misplaced(policies: list[Path]) -> Iterator[Problem]:
    """Yield a problem for each entry that looks like a policy and would not be read: it may deny (T85)."""
    for path in policies:
        where = f"{POLICIES}/{path.name}"
        if path.name.startswith("."):
            continue
        if path.is_dir() and path.suffix != ".json":
            yield Problem(where, "BundleError", "is a folder; policies stand side by side, as <id>.json")
        elif path.suffix != ".json" and path.suffix.lower() == ".json":
            yield Problem(where, "BundleError", "is no policy under this name; write .json in small letters")


def make_bundle(  # noqa: PLR0913 - the parts of a bundle
    policies: Mapping[str, Policy],
    principals: Any,
    catalog: Catalog,
    *,
    ip_support: IpSupport = "catalog",
    unknown_action: UnknownAction = "refuse",
    tables: int = MAX_TABLES,
    revision: str = "",
) -> Bundle:
    """Return a bundle of parsed policies and the tree of a principals.json. Raises BundleError.

    tables: how many compiled tables the evaluator keeps.
    """
    people = read_principals(principals, PRINCIPALS)
    if not isinstance(people, Principals):
        raise BundleError(*people)
    return _bundle(policies, people, ActionIndex(catalog), ip_support, unknown_action, tables, revision)


def _bundle(  # noqa: PLR0913, PLR0917 - the parts of a bundle
    policies: Mapping[str, Policy],
    people: Principals,
    index: ActionIndex,
    ip_support: IpSupport,
    unknown_action: UnknownAction,
    tables: int,
    revision: str,
) -> Bundle:
    evaluator = Evaluator(
        index=index,
        policies=policies,
        principals=people.layers,
        owner=people.owner,
        ip_support=ip_support,
        unknown_action=unknown_action,
        size=tables,
    )
    return Bundle(revision, index.catalog, MappingProxyType(dict(policies)), people, evaluator)


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
    """Suspend garbage collection, in all threads, while a bundle is built.

    A build creates many objects and no cycles. The collector would visit all of them again and again, and no
    other thread runs meanwhile: with 100,000 principals for a tenth of a second and more.
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
    content: Content, *, ip_support: IpSupport, unknown_action: UnknownAction, tables: int = MAX_TABLES
) -> Bundle:
    """Return the bundle that a content describes. Raises BundleError or CatalogError."""
    index = ActionIndex(parse_catalog(content.catalog))
    stopping = _stopping(index, ip_support, unknown_action)
    problems: list[Problem] = []
    policies: dict[str, Policy] = {}
    people: Principals | tuple[Problem, ...] = ()
    for name, raw in content.files.items():
        try:
            if name == PRINCIPALS:
                people = read_principals(read_json(raw, name, BundleError, "PrincipalsError"), name)
            else:
                document = parse_document(raw, source=name)
                policies[document.policy.id] = document.policy
                problems += stopping(document)
        except CamguardError as exc:
            problems += exc.problems
    if not isinstance(people, Principals):
        raise BundleError(*problems, *people)
    if problems:
        raise BundleError(*problems)
    return _bundle(policies, people, index, ip_support, unknown_action, tables, content.digest)


def _stopping(
    index: ActionIndex, ip_support: IpSupport, unknown_action: UnknownAction
) -> Callable[[Document], Iterator[Problem]]:
    """Return a function that yields, for one document, the findings that prevent activation.

    Such a finding widens an allow or weakens a deny.
    """
    # Imported here, because lint is needed for an activation only: `import camguard` does not load it.
    from camguard.lint import CatalogView, errors  # noqa: PLC0415

    catalog = CatalogView(index)

    def problems(document: Document) -> Iterator[Problem]:
        for finding in errors(document, catalog, ip_support=ip_support):
            if unknown_action == "judge" and finding.code in _UNLISTED:
                continue  # calls of such names are evaluated, so the deny applies
            yield Problem(finding.where, finding.code, finding.advice)

    return problems
