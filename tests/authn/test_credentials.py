"""keys.json: read strictly, replaced whole, and never shown."""

from __future__ import annotations

import hmac
import json
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camguard.authn.credentials import AccessKey, KeyRing, parse_keys, shorten
from camguard.authn.key_store import KeysPoll, KeyStore, load_keys
from camguard.errors import SettingsError
from tests.authn.signing import SECRET, SECRET_ID

TOKEN = "EXAMPLE-TOKEN-never-shown"
ENTRY: dict[str, Any] = {"secret_key": SECRET, "principal": "uin/100000000101"}
SESSION = {
    "version": "2.0",
    "statement": [{"effect": "allow", "action": ["aiart:*"], "resource": ["*"]}],
}


def text(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


def key_of(**fields: Any) -> AccessKey:
    """Return the key of one entry with these further fields."""
    key = parse_keys(text(AKIDx={**ENTRY, **fields}), "keys.json").find(b"AKIDx")
    assert key is not None
    return key


def problems(raw: bytes) -> list[tuple[str, str]]:
    """Return place and message of everything that is wrong."""
    with pytest.raises(SettingsError) as caught:
        parse_keys(raw, "keys.json")
    assert {problem.code for problem in caught.value.problems} == {"KeysError"}
    return [(problem.where.removeprefix("keys.json"), problem.message) for problem in caught.value.problems]


def test_entry_becomes_a_key() -> None:
    key = key_of()
    assert (key.secret_id, key.principal, key.secret) == ("AKIDx", "uin/100000000101", SECRET.encode())
    assert (key.token, key.expires, key.session) == (b"", None, None)
    assert key.caller == ("uin/100000000101", "AKID…", None, "valid")


def test_temporary_credential_has_token_end_and_session() -> None:
    key = key_of(token=TOKEN, expires="2026-01-31T12:00:00Z", session_policy=SESSION, principal="role/a.b@c")
    assert key.token == TOKEN.encode()
    assert key.expires == 1769860800.0
    assert key.session is not None
    assert key.session.statements[0].id == "session#0"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        pytest.param(1769860800, 1769860800.0, id="seconds"),
        pytest.param(1769860800.5, 1769860800.5, id="seconds with a fraction"),
        pytest.param(0, 0.0, id="the first second"),
        pytest.param(2000000000, 2000000000.0, id="seconds in the year 2033"),
        pytest.param(999999999999, 999999999999.0, id="twelve digits"),
        pytest.param(10.123456, 10.123456, id="six digits of a fraction"),
        pytest.param("2026-01-31T12:00:00Z", 1769860800.0, id="RFC 3339 in UTC"),
        pytest.param("2026-01-31T12:00:00.250Z", 1769860800.25, id="RFC 3339 with a fraction"),
    ],
)
def test_expires(written: object, seconds: float) -> None:
    assert key_of(expires=written).expires == seconds


def test_disabled_key_is_as_unknown_as_one_that_is_not_there() -> None:
    keys = parse_keys(text(AKIDx={**ENTRY, "enabled": False}, AKIDy=ENTRY), "keys.json")
    assert keys.find(b"AKIDx") is None
    assert keys.find(b"AKIDz") is None
    assert keys.find(b"AKIDy") is not None
    assert (len(keys), keys.disabled_ids) == (1, frozenset(("AKIDx",)))


def test_no_keys_at_all_is_a_good_file() -> None:
    assert len(parse_keys(b"{}", "keys.json")) == 0


RULE_ID = "a secret id has 1 to 1024 letters, digits, `-` and `_`"
RULE_SECRET = "must be a string of 16 to 1024 visible ASCII characters without blanks"
RULE_PRINCIPAL = "must be `uin/` and 5 to 20 digits, or `role/` and the role's name"
RULE_EXPIRES = "must be a UTC time such as 2026-01-31T12:00:00Z, or seconds since 1970"


def entry(**fields: Any) -> bytes:
    return text(AKIDx={**ENTRY, **fields})


WRONG = [
    pytest.param(b"[]", "", "must be an object", id="a list"),
    pytest.param(text(AKIDx="secret"), "#/AKIDx", "must be an object", id="an entry that is text"),
    pytest.param(text(**{"AKID x": ENTRY}), "#/AKID x", RULE_ID, id="an id with a blank"),
    pytest.param(text(**{"": ENTRY}), "#/", RULE_ID, id="an empty id"),
    pytest.param(text(**{"AKID/x": ENTRY}), "#/AKID~1x", RULE_ID, id="an id with a slash"),
    pytest.param(text(**{"A" * 1025: ENTRY}), "#/" + "A" * 1025, RULE_ID, id="an id that is too long"),
    pytest.param(text(AKIDx={"principal": "uin/12345"}), "#/AKIDx", "lacks 'secret_key'", id="no secret"),
    pytest.param(text(AKIDx={"secret_key": SECRET}), "#/AKIDx", "lacks 'principal'", id="no principal"),
    pytest.param(entry(secret_key="short"), "#/AKIDx/secret_key", RULE_SECRET, id="a short secret"),
    pytest.param(entry(secret_key=SECRET + "\n"), "#/AKIDx/secret_key", RULE_SECRET, id="a line break in it"),
    pytest.param(entry(secret_key=SECRET + "ü"), "#/AKIDx/secret_key", RULE_SECRET, id="not ASCII"),
    pytest.param(entry(secret_key=1234567890123456), "#/AKIDx/secret_key", RULE_SECRET, id="a number"),
    pytest.param(entry(secret_key=None), "#/AKIDx/secret_key", RULE_SECRET, id="null"),
    pytest.param(
        entry(token=""),
        "#/AKIDx/token",
        "must be a string of 1 to 4096 visible ASCII characters without blanks",
        id="an empty token",
    ),
    pytest.param(entry(principal="100000000101"), "#/AKIDx/principal", RULE_PRINCIPAL, id="bare digits"),
    pytest.param(entry(principal="uin/1234"), "#/AKIDx/principal", RULE_PRINCIPAL, id="four digits"),
    pytest.param(entry(principal="uin/*"), "#/AKIDx/principal", RULE_PRINCIPAL, id="a star"),
    pytest.param(entry(principal="role/"), "#/AKIDx/principal", RULE_PRINCIPAL, id="a role without a name"),
    pytest.param(entry(principal="user/alice"), "#/AKIDx/principal", RULE_PRINCIPAL, id="another kind"),
    pytest.param(entry(principal=None), "#/AKIDx/principal", RULE_PRINCIPAL, id="null as principal"),
    pytest.param(entry(enabled="false"), "#/AKIDx/enabled", "must be true or false", id="text as flag"),
    pytest.param(entry(enabled=0), "#/AKIDx/enabled", "must be true or false", id="a number as flag"),
    pytest.param(entry(expires="2026-01-31"), "#/AKIDx/expires", RULE_EXPIRES, id="a day as end"),
    pytest.param(entry(expires="2026-01-31 12:00:00"), "#/AKIDx/expires", RULE_EXPIRES, id="no zone"),
    pytest.param(entry(expires="2026-02-31T00:00:00Z"), "#/AKIDx/expires", RULE_EXPIRES, id="no such day"),
    pytest.param(entry(expires="2026-01-31T12:00:00+08:00"), "#/AKIDx/expires", RULE_EXPIRES, id="a zone"),
    pytest.param(entry(expires="1769860800"), "#/AKIDx/expires", RULE_EXPIRES, id="seconds as text"),
    pytest.param(entry(expires=10**12), "#/AKIDx/expires", RULE_EXPIRES, id="thirteen digits"),
    pytest.param(entry(expires=1.1234567), "#/AKIDx/expires", RULE_EXPIRES, id="seven digits of a fraction"),
    pytest.param(entry(expires=1e20), "#/AKIDx/expires", RULE_EXPIRES, id="an exponent"),
    pytest.param(entry(expires=-1), "#/AKIDx/expires", RULE_EXPIRES, id="before 1970"),
    pytest.param(entry(expires=True), "#/AKIDx/expires", RULE_EXPIRES, id="true as end"),
    pytest.param(entry(expires=None), "#/AKIDx/expires", RULE_EXPIRES, id="null as end"),
    pytest.param(
        entry(enable=True),
        "#/AKIDx/enable",
        "unknown key 'enable' (did you mean 'enabled'?)",
        id="an unknown key",
    ),
    pytest.param(
        entry(session_policy=5),
        "#/AKIDx/session_policy",
        "the document is not an object [PolicyDocumentError]",
        id="a session policy that is a number",
    ),
]


@pytest.mark.parametrize(("raw", "where", "message"), WRONG)
def test_one_thing_wrong_is_named_with_its_place(raw: bytes, where: str, message: str) -> None:
    assert problems(raw) == [(where, message)]


def test_session_policy_is_read_like_any_other() -> None:
    wrong = {**SESSION, "statement": [{**SESSION["statement"][0], "effect": "permit"}]}  # type: ignore[dict-item]
    ((where, message),) = problems(entry(session_policy=wrong))
    assert where == "#/AKIDx/session_policy/statement/0/effect"
    assert message.endswith("[EffectError]")


def test_session_policy_keeps_its_numbers_and_letters() -> None:
    condition = {"numeric_equal": {"tcb:age": 12345678901234567890}, "string_equal": {"tcb:name": "猫"}}
    policy = {**SESSION, "statement": [{**SESSION["statement"][0], "condition": condition}]}  # type: ignore[dict-item]
    session = key_of(session_policy=policy).session
    assert session is not None
    (statement,) = session.statements
    assert [clause.values for clause in statement.condition] == [("12345678901234567890",), ("猫",)]


def test_every_problem_is_listed() -> None:
    raw = text(**{"AKID x": {"secret_key": "short"}, "AKIDy": {**ENTRY, "prinzipal": "x", "enabled": 1}})
    assert [where for where, _ in problems(raw)] == [
        "#/AKID x",
        "#/AKID x/secret_key",
        "#/AKID x",
        "#/AKIDy/prinzipal",
        "#/AKIDy/enabled",
    ]


NOT_JSON = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="cut"),
    pytest.param(
        b'{"AKIDx": {"secret_key": "0123456789abcdef", "principal": "uin/12345"},}', id="a comma more"
    ),
    pytest.param(b'{"A": {}, "A": {}}', id="an id twice"),
    pytest.param(b'{"A": {"enabled": false, "enabled": true}}', id="a field twice"),
    pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
    pytest.param('{"A": {}}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b"\xff{}", id="not UTF-8"),
    pytest.param(b'{"A": {"expires": NaN}}', id="not a number"),
    pytest.param(b"[" * 30_000, id="T87 nested 30,000 deep"),
    pytest.param(b'{"A": "\\ud800"}', id="half of a surrogate pair"),
]


@pytest.mark.parametrize("raw", NOT_JSON)
def test_text_that_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    assert len(problems(raw)) == 1


def test_secrets_are_shown_by_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, text(**{SECRET_ID: {**ENTRY, "token": TOKEN}}))
    store = KeyStore(path)
    key = store.keys.find(SECRET_ID.encode())
    assert key is not None
    credential = store.keys.derive(SECRET_ID.encode(), "2023-11-14", "aiart")
    for shown in (key, store.keys, store, credential, {"key": key}, [store.keys]):
        for printed in (repr(shown), str(shown), f"{shown}"):
            assert SECRET not in printed
            assert TOKEN not in printed
    assert "AKIDz8…MPLE" in repr(key)
    assert repr(store) == f"<KeyStore '{path}': <KeyRing: 1 in use, 0 disabled>>"


@pytest.mark.parametrize(
    "fields",
    [
        {"secret_key": SECRET + " " + SECRET},
        {"token": TOKEN + "\n"},
        {"principal": 5},
        {"secret": SECRET},
        {"session_policy": SECRET},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_secrets_are_quoted_by_no_error(fields: dict[str, Any]) -> None:
    try:
        parse_keys(entry(**fields), "keys.json")
    except SettingsError as error:
        printed = "".join(traceback.format_exception(error))
    assert SECRET not in printed
    assert TOKEN not in printed


def written(folder: Path, raw: bytes, mode: int = 0o600) -> Path:
    path = folder / "keys.json"
    path.write_bytes(raw)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o640, 0o440], ids=oct)
def test_file_that_is_ours_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert len(load_keys(written(tmp_path, text(AKIDx=ENTRY), mode))) == 1


# What loads a file at the start.
LOADERS = [pytest.param(load_keys, id="the keys alone"), pytest.param(KeyStore, id="the store")]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o606, 0o666, 0o610, 0o602, 0o620, 0o601], ids=oct)
def test_t129_file_that_others_may_use_is_refused_with_the_cure(
    tmp_path: Path, mode: int, load: Callable[[Path], object]
) -> None:
    path = written(tmp_path, text(AKIDx=ENTRY), mode)
    with pytest.raises(SettingsError) as caught:
        load(path)
    fault = f"other users may read or change this file (mode {mode:04o})"
    assert str(caught.value) == f"{path}: {fault}; run: chmod 600 {path} [KeysError]"


ME, MY_GROUP, OTHER = 12345, 23456, 34567
# Owner and group of the file, its mode, and what is wrong for a process of user ME in the group MY_GROUP.
RIGHTS = [
    pytest.param(ME, OTHER, 0o600, None, id="its own file"),
    pytest.param(ME, OTHER, 0o640, None, id="its own file, which a group reads that it is not in"),
    pytest.param(0, MY_GROUP, 0o440, None, id="root's file, read through its group: a Kubernetes Secret"),
    pytest.param(0, MY_GROUP, 0o640, None, id="root's file, which root may change"),
    pytest.param(0, OTHER, 0o600, None, id="root's file that nobody else reads"),
    pytest.param(0, OTHER, 0o440, "is not in that group; run: chgrp 23456 ", id="read by another group"),
    pytest.param(0, MY_GROUP, 0o460, "may read or change", id="root's file, which the group may write"),
    pytest.param(0, MY_GROUP, 0o444, "may read or change", id="root's file, which everybody reads"),
    pytest.param(ME, MY_GROUP, 0o660, "may read or change", id="its own file, which the group may write"),
    pytest.param(OTHER, MY_GROUP, 0o440, "belongs to user 34567", id="the file of somebody else"),
    pytest.param(OTHER, OTHER, 0o644, "belongs to user 34567", id="all of it: the owner is named first"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("in_group", ["effective", "supplementary"])
@pytest.mark.parametrize(("owner", "group", "mode", "problem"), RIGHTS)
def test_t129_who_may_read_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: int,
    group: int,
    mode: int,
    problem: str | None,
    in_group: str,
) -> None:
    path = written(tmp_path, text(AKIDx=ENTRY), mode)
    os.chown(path, owner, group)
    path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    monkeypatch.setattr(os, "getegid", lambda: MY_GROUP)
    monkeypatch.setattr(os, "getgroups", list)
    if in_group == "supplementary" and problem is None:
        monkeypatch.setattr(os, "getegid", lambda: 45678)
        monkeypatch.setattr(os, "getgroups", lambda: [1, MY_GROUP])
    if problem is None:
        assert len(load_keys(path)) == 1
        return
    with pytest.raises(SettingsError, match=re.escape(problem)):
        load_keys(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, text(AKIDx=ENTRY))
    os.chown(path, 12345, -1)
    with pytest.raises(SettingsError, match=r"belongs to user 12345, neither .* nor root; run: chown 0 "):
        load_keys(path)


NO_FILES = [
    pytest.param(lambda path: path, "No such file or directory", id="nothing"),
    pytest.param(lambda path: path.mkdir(), "it is a folder, not a regular file", id="a folder"),
    pytest.param(lambda path: os.mkfifo(path, 0o600), "it is a FIFO, not a regular file", id="a FIFO"),
]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(("make", "fault"), NO_FILES)
def test_what_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object], fault: str, load: Callable[[Path], object]
) -> None:
    path = tmp_path / "keys.json"
    make(path)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: cannot be read: {fault} [KeysError]"


def test_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = written(tmp_path, b" " * 10)
    os.truncate(path, (16 << 20) + 1)
    with pytest.raises(SettingsError, match="it is too large: 16777217 bytes, at most 16777216"):
        load_keys(path)


def test_link_is_judged_by_the_file_behind_it(tmp_path: Path) -> None:
    path = written(tmp_path, text(AKIDx=ENTRY))
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert len(load_keys(link)) == 1
    path.chmod(0o644)
    with pytest.raises(SettingsError):
        load_keys(link)


def test_t82_rotation_and_revocation_hold_from_the_next_poll(tmp_path: Path) -> None:
    store = KeyStore(written(tmp_path, text(AKIDx=ENTRY, AKIDy=ENTRY)))
    before = store.keys
    assert store.poll() == ("unchanged", (), 0)
    assert store.keys is before
    written(
        tmp_path, text(AKIDx={**ENTRY, "secret_key": "another-secret-00"}, AKIDy={**ENTRY, "enabled": False})
    )
    assert store.poll().result == "success"
    key = store.keys.find(b"AKIDx")
    assert key is not None
    assert key.secret == b"another-secret-00"
    assert store.keys.find(b"AKIDy") is None
    assert store.poll() == KeysPoll("unchanged"), "what is in use is read no second time"
    written(tmp_path, text(AKIDx=ENTRY, AKIDy=ENTRY))
    assert store.poll() == KeysPoll("success"), "the first content holds again"
    assert [key.secret for key in store.keys.owned_by(ENTRY["principal"])] == [SECRET.encode()] * 2


def test_t82_what_was_derived_goes_with_the_old_keys(tmp_path: Path) -> None:
    store = KeyStore(written(tmp_path, text(AKIDx=ENTRY)))
    store.keys.cache(b"credential", store.keys.derive(b"AKIDx", "2023-11-14", "aiart"))
    assert store.keys.cached(b"credential") is not None
    written(tmp_path, text(AKIDx={**ENTRY, "principal": "uin/100000000102"}))
    store.poll()
    assert store.keys.cached(b"credential") is None


BAD = [
    pytest.param(lambda path: path.write_bytes(b"{"), id="cut"),
    pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    pytest.param(lambda path: path.write_bytes(entry(enabled=1)), id="an error in it"),
    pytest.param(lambda path: path.chmod(0o644), id="opened to others"),
    pytest.param(lambda path: path.unlink(), id="deleted"),
    pytest.param(lambda path: (path.unlink(), path.mkdir()), id="replaced by a folder"),
]


@pytest.mark.parametrize("spoil", BAD)
def test_f2_bad_change_keeps_the_last_good_keys_and_is_reported_once(tmp_path: Path, spoil: Any) -> None:
    path = written(tmp_path, text(AKIDx=ENTRY))
    store = KeyStore(path)
    before = store.keys
    spoil(path)
    first = store.poll()
    assert first.result == "failure"
    assert first.problems == store.problems
    assert str(path) in first.problems[0].where
    assert store.poll() == KeysPoll("unchanged")
    assert store.keys is before
    if path.is_dir():
        path.rmdir()
    written(tmp_path, text(AKIDx=ENTRY))
    assert store.poll() == KeysPoll("success")
    assert store.problems == ()
    assert store.poll() == KeysPoll("unchanged")


OTHER_SESSION = {
    "version": "2.0",
    "statement": [{"effect": "allow", "action": ["aiart:TextToImage"], "resource": ["*"]}],
}
WITH_SESSION = {**ENTRY, "session_policy": SESSION}
# What the file holds after its mode went wrong, besides AKIDa, which stays as it is; what becomes of AKIDx.
REVOKED = [
    pytest.param({}, False, id="missing"),
    pytest.param({"AKIDx": {**WITH_SESSION, "enabled": False}}, False, id="disabled"),
    pytest.param({"AKIDx": {**WITH_SESSION, "secret_key": "another-secret-00"}}, False, id="another secret"),
    pytest.param({"AKIDx": {**WITH_SESSION, "principal": "uin/100000000102"}}, False, id="another owner"),
    pytest.param({"AKIDx": {**WITH_SESSION, "expires": 1}}, False, id="an end"),
    pytest.param({"AKIDx": ENTRY}, False, id="without its session policy"),
    pytest.param({"AKIDx": {**ENTRY, "session_policy": OTHER_SESSION}}, False, id="another session policy"),
    pytest.param({"AKIDx": WITH_SESSION}, True, id="unchanged"),
    pytest.param({"AKIDx": WITH_SESSION, "AKIDy": ENTRY}, True, id="unchanged, with a new key beside it"),
]


@pytest.mark.parametrize(("entries", "stays"), REVOKED)
def test_t131_a_file_with_a_wrong_mode_revokes_and_adds_nothing(
    tmp_path: Path, entries: dict[str, Any], stays: bool
) -> None:
    store = KeyStore(written(tmp_path, text(AKIDa=ENTRY, AKIDx=WITH_SESSION)))
    before = store.keys
    written(tmp_path, text(AKIDa=ENTRY, **entries), 0o644)
    first = store.poll()
    assert (first.result, first.dropped) == ("failure", 0 if stays else 1)
    assert "chmod 600" in first.problems[0].message
    assert [store.keys.find(name) is not None for name in (b"AKIDa", b"AKIDx", b"AKIDy")] == [
        True,
        stays,
        False,
    ]
    assert (store.keys is before) == stays
    assert store.poll() == KeysPoll("unchanged")
    written(tmp_path, text(AKIDa=ENTRY, **entries))
    assert store.poll() == KeysPoll("success")
    assert (store.keys.find(b"AKIDy") is not None) == ("AKIDy" in entries)


def test_t131_a_key_that_a_wrong_mode_revoked_comes_back_with_the_old_file(tmp_path: Path) -> None:
    store = KeyStore(written(tmp_path, text(AKIDx=ENTRY)))
    written(tmp_path, text(), 0o644)
    assert store.poll().dropped == 1
    assert len(store.keys) == 0
    written(tmp_path, text(AKIDx=ENTRY))
    assert store.poll() == KeysPoll("success")
    assert len(store.keys) == 1


def test_t131_a_key_that_goes_while_the_mode_is_wrong_already_is_reported(tmp_path: Path) -> None:
    store = KeyStore(written(tmp_path, text(AKIDx=ENTRY, AKIDy=ENTRY)))
    written(tmp_path, text(AKIDx=ENTRY, AKIDy=ENTRY), 0o644)
    first = store.poll()
    assert (first.result, first.dropped) == ("failure", 0)
    written(tmp_path, text(AKIDx=ENTRY), 0o644)
    assert store.poll() == KeysPoll("failure", first.problems, 1)
    assert [key.secret_id for key in store.keys.owned_by(ENTRY["principal"])] == ["AKIDx"]
    assert store.poll() == KeysPoll("unchanged")


def test_t131_keys_grow_stale_by_the_monotonic_clock_alone(tmp_path: Path) -> None:
    path = written(tmp_path, text(AKIDx=ENTRY))
    now = [1000.0, 50.0]  # wall clock, monotonic clock
    store = KeyStore(path, max_age_seconds=10, clock=lambda: now[0], monotonic=lambda: now[1])
    assert (store.stale, store.confirmed) == (False, 1000.0)
    now[:] = 1e9, 60.0
    assert not store.stale
    now[1] = 60.1
    assert store.stale
    assert store.poll() == KeysPoll("unchanged")
    assert (store.stale, store.confirmed) == (False, 1e9)
    path.write_bytes(b"{")
    now[:] = 2e9, 70.2
    store.poll()
    assert (store.stale, store.confirmed) == (True, 1e9)
    assert len(store.keys) == 1
    written(tmp_path, text(AKIDx=ENTRY, AKIDy=ENTRY))
    now[:] = 3e9, 80.0
    assert store.poll() == KeysPoll("success")
    assert (store.stale, store.confirmed) == (False, 3e9), (
        "another content that is good confirms the keys, too"
    )


def test_t131_without_a_greatest_age_keys_never_grow_stale(tmp_path: Path) -> None:
    now = [50.0]
    store = KeyStore(written(tmp_path, text(AKIDx=ENTRY)), monotonic=lambda: now[0])
    now[0] = 1e12
    assert not store.stale


def test_t131_the_report_names_states_and_problems(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        text(
            AKIDv={**ENTRY, "expires": 2000},
            AKIDw={**ENTRY, "expires": 1001},
            AKIDx=ENTRY,
            AKIDy={**ENTRY, "enabled": False},
            AKIDz={**ENTRY, "expires": 1000},
        ),
    )
    store = KeyStore(path, clock=lambda: 1000.0)
    counts = {"enabled": 3, "disabled": 1, "expired": 1}
    assert store.report() == {**counts, "confirmed": 1000.0, "problems": []}
    path.write_bytes(b"{")
    store.poll()
    assert store.report()["problems"] == [problem._asdict() for problem in store.problems] != []
    assert SECRET not in json.dumps(store.report())


@pytest.mark.parametrize(("day", "number"), [("1970-01-01", 0), ("1970-01-02", 1), ("2023-11-14", 19675)])
def test_a_signing_key_makes_the_hmac_of_the_derived_key(day: str, number: int) -> None:
    """CAM 14.3, RFC 2104."""
    signing_key = parse_keys(text(AKIDx=ENTRY), "keys.json").derive(b"AKIDx", day, "AiArt")
    secret = b"TC3" + SECRET.encode()
    for part in (day.encode(), b"AiArt", b"tc3_request"):
        secret = hmac.digest(secret, part, "sha256")
    inner, outer = signing_key.inner.copy(), signing_key.outer.copy()
    inner.update(b"a text")
    outer.update(inner.digest())
    assert outer.digest() == hmac.digest(secret, b"a text", "sha256")
    assert (signing_key.day, signing_key.service) == (number, "aiart")
    assert signing_key.scope == f"{day}/AiArt/tc3_request".encode()


def test_signing_keys_of_unknown_ids_push_out_none_of_a_known_id() -> None:
    keys = parse_keys(text(AKIDx=ENTRY), "keys.json")
    known = keys.derive(b"AKIDx", "2023-11-14", "aiart")
    keys.cache(b"known", known)
    unknown = keys.derive(b"AKIDunknown", "2023-11-14", "aiart")
    for i in range(10_000):
        keys.cache(b"%d" % i, unknown)
    assert keys.cached(b"known") is known


@pytest.mark.parametrize("secret_id", [b"AKIDx", b"AKIDunknown"], ids=["a known id", "an unknown id"])
def test_t105_a_credential_of_more_than_512_bytes_is_not_cached(secret_id: bytes) -> None:
    keys = parse_keys(text(AKIDx=ENTRY), "keys.json")
    signing_key = keys.derive(secret_id, "2023-11-14", "aiart")
    for length, found in ((512, signing_key), (513, None)):
        keys.cache(b"x" * length, signing_key)
        assert keys.cached(b"x" * length) is found


def test_decoy_key_differs_each_time() -> None:
    keys = [KeyRing({}), KeyRing({})]
    assert keys[0].secret_of(None) != keys[1].secret_of(None)
    assert len(keys[0].secret_of(None)) == 32


@pytest.mark.parametrize(
    ("secret_id", "shown"),
    [(SECRET_ID, "AKIDz8…MPLE"), ("AKIDEXAMPLE", "AKID…"), ("A" * 15, "AAAA…"), ("A" * 16, "AAAAAA…AAAA")],
)
def test_secret_id_is_shortened(secret_id: str, shown: str) -> None:
    assert shorten(secret_id) == shown


def test_the_keys_of_a_principal_are_those_in_use() -> None:
    other = {**ENTRY, "principal": "role/bot"}
    ring = parse_keys(text(A=ENTRY, B=other, C=ENTRY, D={**ENTRY, "enabled": False}), "keys.json")
    assert [key.secret_id for key in ring.owned_by(ENTRY["principal"])] == ["A", "C"]
    assert [key.secret_id for key in ring.owned_by("role/bot")] == ["B"]
    assert ring.owned_by("role/bo") == ()


def test_the_owners_of_keys_are_listed_with_what_each_key_is_called() -> None:
    ring = parse_keys(text(AKIDone=ENTRY, AKIDtwo={**ENTRY, "principal": "role/bot"}), "keys.json")
    assert list(ring.owners()) == [
        (key.label, key.principal) for key in (ring.find(b"AKIDone"), ring.find(b"AKIDtwo")) if key
    ]
    assert [principal for _, principal in ring.owners()] == [ENTRY["principal"], "role/bot"]


SWITCHED_OFF = {**ENTRY, "enabled": False}
OF_ANOTHER = {**ENTRY, "principal": "role/bot"}
# the keys before, the keys after, and what is added, removed, changed and disabled
CHANGES = [
    pytest.param({"AKIDa": ENTRY}, {"AKIDa": ENTRY}, ("", "", "", ""), id="the same keys"),
    pytest.param({}, {"BKIDa": ENTRY, "AKIDa": ENTRY}, ("AKID… BKID…", "", "", ""), id="two more, in order"),
    pytest.param({"AKIDa": ENTRY}, {}, ("", "AKID…", "", ""), id="one fewer"),
    pytest.param({"AKIDa": ENTRY}, {"AKIDa": OF_ANOTHER}, ("", "", "AKID…", ""), id="another principal"),
    pytest.param(
        {"AKIDa": ENTRY}, {"AKIDa": SWITCHED_OFF}, ("", "", "", "AKID…"), id="a key that is disabled"
    ),
    pytest.param(
        {"AKIDa": SWITCHED_OFF},
        {"AKIDa": SWITCHED_OFF},
        ("", "", "", ""),
        id="a key that was disabled before",
    ),
    pytest.param(
        {"AKIDa": SWITCHED_OFF}, {"AKIDa": ENTRY}, ("AKID…", "", "", ""), id="a key that is enabled"
    ),
    pytest.param({}, {"AKIDa": SWITCHED_OFF}, ("", "", "", "AKID…"), id="a disabled key that is new"),
    pytest.param(
        {"AKIDa": ENTRY, "BKIDa": ENTRY, "CKIDa": ENTRY, "DKIDa": ENTRY},
        {"AKIDa": ENTRY, "BKIDa": OF_ANOTHER, "CKIDa": SWITCHED_OFF, "EKIDa": ENTRY},
        ("EKID…", "DKID…", "BKID…", "CKID…"),
        id="one of each",
    ),
]


@pytest.mark.parametrize(("before", "after", "found"), CHANGES)
def test_how_a_ring_of_keys_differs_from_an_earlier_one(
    before: dict[str, Any], after: dict[str, Any], found: tuple[str, ...]
) -> None:
    changes = parse_keys(text(**after), "keys.json").changes_since(parse_keys(text(**before), "keys.json"))
    assert tuple(map(" ".join, changes)) == found
