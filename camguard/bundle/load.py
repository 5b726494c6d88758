"""Loads a folder as a bundle, completely or not at all.

Rule 1: each file is read once, and the digested bytes are the parsed bytes (T107).
Rule 2: every problem of every file is listed; with any problem nothing is activated.
Rule 3: a finding of lint is no problem. Only with `policy.strict` does a finding of severity error that
        lint.toml does not accept keep a bundle from being activated (DEC-55).
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from camguard.bundle.model import Bundle
from camguard.catalog import parse_catalog, read_catalog
from camguard.catalog.model import Catalog
from camguard.engine.action_index import ActionIndex, IpSupport, UnknownAction
from camguard.engine.evaluator import MAX_TABLES, Evaluator
from camguard.engine.principals import Principals, read_principals
from camguard.engine.resource_tags import CODE as TAGS_CODE
from camguard.engine.resource_tags import Inventory, read_inventory
from camguard.errors import BundleError, CamguardError, Problem
from camguard.files import DOCUMENT_BYTES, FOLDER_BYTES, list_folder, read_folder
from camguard.ipset import NO_MAP, AddressMap
from camguard.policy.document import Document, parse_document
from camguard.policy.model import Policy
from camguard.policy.resources import Owner
from camguard.strict_json import read_json

PRINCIPALS = "principals.json"
POLICIES = "policies"
TESTS = "tests"  # optional
ACCEPTANCES = "lint.toml"  # optional
RESOURCE_TAGS = "resource_tags.json"  # optional (DEC-66)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a bundle and of its catalog, sorted by path, and the digest that names them all.

    tests: the files below `tests/`, where they must pass before an activation. The digest leaves them out.
    """

    files: Mapping[str, bytes]
    catalog: Mapping[str, bytes]
    digest: str
    tests: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """A digest that changes with everything that an activation depends on."""
        return self.digest if not self.tests else _digest(self.tests, self.digest.encode())


def read_content(folder: Path, catalog: Path, *, tests: bool = False) -> Content:
    """Read a bundle folder and a catalog once.

    tests: whether the policy tests of the bundle are read, too.
    Raises BundleError when it is no such folder or cannot be read, CatalogError likewise.
    """
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    folder = folder.resolve()  # once: a symlink swapped meanwhile must not mix two bundles
    principals, policies = folder / PRINCIPALS, folder / POLICIES
    tags, acceptances = folder / RESOURCE_TAGS, folder / ACCEPTANCES
    try:
        entries = list_folder(policies) if policies.is_dir() else []
    except OSError as exc:
        raise BundleError(Problem(POLICIES, "BundleError", f"cannot be read: {exc.strerror}")) from None
    problems += _misplaced(entries)
    whole = (principals, tags)
    for path, read in read_folder(
        _paths((*whole, acceptances), entries),
        lambda path: FOLDER_BYTES if path in whole else DOCUMENT_BYTES,
    ):
        name = path.relative_to(folder).as_posix()
        if isinstance(read, OSError):
            problems.append(Problem(name, "BundleError", f"cannot be read: {read.strerror}"))
        else:
            files[name] = read
    problems += () if problems else _incomplete(files, folder)
    if problems:
        raise BundleError(*problems)
    return content_of(files, read_catalog(catalog), read_tests(folder) if tests else {})


def content_of(
    files: Mapping[str, bytes],
    catalog: Mapping[str, bytes],
    tests: Mapping[str, bytes] = MappingProxyType({}),
) -> Content:
    """Return the content of a bundle whose files were read, in a folder or in an archive.

    files, tests: by path inside of the bundle. catalog: what `read_catalog` returned.
    """
    first = (PRINCIPALS, RESOURCE_TAGS, ACCEPTANCES)
    order = (*(path for path in first if path in files), *sorted(files.keys() - {*first}))
    ordered = {path: files[path] for path in order}
    named = {**ordered, **{f"catalog/{Path(name).name}": raw for name, raw in catalog.items()}}
    return Content(MappingProxyType(ordered), catalog, _digest(named), MappingProxyType(dict(tests)))


def require_complete(files: Mapping[str, bytes], where: str) -> None:
    """Raise BundleError unless files by path are those of a bundle. where: what holds the files."""
    problems = [*_incomplete(files, Path(where))]
    if problems:
        raise BundleError(*problems)


def _incomplete(files: Mapping[str, bytes], where: Path) -> Iterator[Problem]:
    """Yield what a bundle lacks: an empty folder is a mistake, not a policy that denies everything (T108)."""
    if PRINCIPALS not in files:
        yield Problem(str(where), "BundleError", f"there is no {PRINCIPALS} in it")
    elif not files.keys() - {PRINCIPALS, RESOURCE_TAGS, ACCEPTANCES}:
        yield Problem(str(where / POLICIES), "BundleError", "holds no policy (<id>.json)")


def _digest(named: Mapping[str, bytes], *first: bytes) -> str:
    digest = hashlib.sha256(*first)
    for name, raw in named.items():
        for part in (os.fsencode(name), raw):  # a file's name may be no UTF-8
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()


def read_tests(folder: Path) -> dict[str, bytes]:
    """Return the files of policy tests of a bundle folder, by path inside of it. Raises BundleError."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    files = sorted((folder / TESTS).rglob("*.toml"))
    for path, read in read_folder(files, lambda _: DOCUMENT_BYTES):
        name = path.relative_to(folder).as_posix()
        if isinstance(read, OSError):
            problems.append(Problem(name, "BundleError", f"cannot be read: {read.strerror}"))
        else:
            found[name] = read
    if problems:
        raise BundleError(*problems)
    return found


def _paths(single: tuple[Path, ...], policies: list[Path]) -> Iterator[Path]:
    """Yield the files that belong to a bundle: dot files and files of editors do not.

    single: those beside the folder of policies.
    """
    yield from (path for path in single if path.exists() or path.is_symlink())
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
    resource_tags: Any = None,
    tables: int = MAX_TABLES,
    revision: str = "",
) -> Bundle:
    """Return a bundle of parsed policies and the tree of a principals.json. Raises BundleError.

    resource_tags: the tree of a resource_tags.json, None without one. tables: how many compiled tables the
    evaluator keeps.
    """
    people = read_principals(principals, PRINCIPALS)
    if not isinstance(people, Principals):
        raise BundleError(*people)
    tags = None if resource_tags is None else read_inventory(resource_tags, RESOURCE_TAGS, people.owner)
    if isinstance(tags, tuple):
        raise BundleError(*tags)
    return _bundle(policies, people, ActionIndex(catalog), ip_support, unknown_action, tables, revision, tags)


def _bundle(  # noqa: PLR0913, PLR0917 - the parts of a bundle
    policies: Mapping[str, Policy],
    people: Principals,
    index: ActionIndex,
    ip_support: IpSupport,
    unknown_action: UnknownAction,
    tables: int,
    revision: str,
    inventory: Inventory | None,
) -> Bundle:
    evaluator = Evaluator(
        index=index,
        policies=policies,
        principals=people.layers,
        owner=people.owner,
        ip_support=ip_support,
        unknown_action=unknown_action,
        inventory=inventory,
        size=tables,
    )
    return Bundle(revision, index.catalog, MappingProxyType(dict(policies)), people, evaluator)


def load_bundle(  # noqa: PLR0913 - the settings that a bundle and its findings depend on
    path: str | Path,
    catalog: str | Path,
    *,
    ip_support: IpSupport = "catalog",
    unknown_action: UnknownAction = "refuse",
    strict: bool = False,
    egress: AddressMap = NO_MAP,
    attribute_keys: frozenset[str] = frozenset(),
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> Bundle:
    """Return the bundle in a folder.

    catalog: the folder of catalog files, or one of them. strict: refuse a bundle with findings of severity
    error that its lint.toml does not accept. egress, attribute_keys: the settings `client_ip.egress` and
    `attributes.keys`; only findings depend on them. aliases: the setting `hosts.aliases`.
    Raises BundleError that lists every problem of every file, or CatalogError.
    """
    content = read_content(Path(path), Path(catalog))
    return build_bundle(
        content,
        ip_support=ip_support,
        unknown_action=unknown_action,
        strict=strict,
        egress=egress,
        attribute_keys=attribute_keys,
        aliases=aliases,
    )


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
def build_bundle(  # noqa: PLR0913 - the settings that a bundle depends on
    content: Content,
    *,
    ip_support: IpSupport,
    unknown_action: UnknownAction,
    tables: int = MAX_TABLES,
    strict: bool = False,
    egress: AddressMap = NO_MAP,
    attribute_keys: frozenset[str] = frozenset(),
    aliases: Mapping[str, str] = MappingProxyType({}),
    today: date | None = None,
) -> Bundle:
    """Return the bundle that a content describes, with its findings.

    strict, egress, attribute_keys, aliases: as for `load_bundle`. today: the day, in UTC, on which
    acceptances must hold; None for now.
    Raises BundleError or CatalogError.
    """
    index = ActionIndex(parse_catalog(content.catalog, aliases))
    problems: list[Problem] = []
    documents: dict[str, Document] = {}
    people: Principals | tuple[Problem, ...] = ()
    inventory = None
    for name, raw in content.files.items():
        try:
            if name == PRINCIPALS:
                people = read_principals(read_json(raw, name, BundleError, "PrincipalsError"), name)
            elif name == RESOURCE_TAGS:
                tree = read_json(raw, name, BundleError, TAGS_CODE)
                owner = people.owner if isinstance(people, Principals) else Owner("", "")
                read = read_inventory(tree, name, owner)
                inventory = read if isinstance(read, Inventory) else None
                problems += () if isinstance(read, Inventory) else read
            elif name != ACCEPTANCES:
                document = parse_document(raw, source=name)
                documents[document.policy.id] = document
        except CamguardError as exc:
            problems += exc.problems
    if not isinstance(people, Principals):
        raise BundleError(*problems, *people)
    if problems:
        raise BundleError(*problems)
    # Imported here, because lint is needed for an activation only: `import camguard` does not load it.
    from camguard.lint import CatalogView, Supplies, granting_nothing, lint_bundle  # noqa: PLC0415

    view = CatalogView(index)
    supplies = Supplies(egress, attribute_keys, RESOURCE_TAGS in content.files)
    findings = lint_bundle(
        documents,
        people,
        view,
        today=today or datetime.now(UTC).date(),
        acceptances=content.files.get(ACCEPTANCES),
        ip_support=ip_support,
        unknown_action=unknown_action,
        supplies=supplies,
    )
    if strict and findings.errors:
        raise BundleError(*(Problem(each.where, each.code, each.advice) for each in findings.errors))
    policies = {name: document.policy for name, document in documents.items()}
    bundle = _bundle(policies, people, index, ip_support, unknown_action, tables, content.digest, inventory)
    idle = granting_nothing(
        policies.values(),
        view,
        ip_support=ip_support,
        unknown_action=unknown_action,
        supplies=supplies,
    )
    return replace(bundle, findings=findings, granting_nothing=idle)
