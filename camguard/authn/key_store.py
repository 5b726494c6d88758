"""`keys.json` on disk: who may read it, and the key ring in use while the file changes.

Rule 1: the file belongs to the user of this process or to root. No other user may read or write it. The
        group of the file may read it if this user owns the file, or if root owns it and this process is in
        the group (T129). A file that breaks this rule adds no key.
Rule 2: a file that cannot be read or parsed changes no key. A file with the wrong owner or mode still revokes
        (T131): an access key that it does not hold, or holds otherwise, is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any, Literal, NamedTuple

from camguard.authn.credentials import KeyRing, parse_keys
from camguard.errors import Problem, SettingsError
from camguard.files import read_file, wrong_rights

_FILE_BYTES = 16 << 20


class KeysFile(NamedTuple):
    """The content of `keys.json`. problem: why owner or mode forbid its use; None where they are right."""

    content: bytes
    problem: Problem | None


def _read(path: Path) -> KeysFile:
    """Return the content of the file. The owner and mode are those of the file that was opened and read.

    Raises SettingsError: the file cannot be read.
    """
    found: list[str] = []
    try:
        content = read_file(path, _FILE_BYTES, lambda facts: found.extend(wrong_rights(facts, path)))
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise SettingsError(Problem(str(path), "KeysError", message)) from None
    return KeysFile(content, Problem(str(path), "KeysError", found[0]) if found else None)


def load_keys(path: Path) -> KeyRing:
    """Read `keys.json`. Raises SettingsError that lists every problem; none of them quotes a value."""
    file = _read(path)
    if file.problem is not None:
        raise SettingsError(file.problem)
    return parse_keys(file.content, str(path))


class KeysPoll(NamedTuple):
    """The result of reading the file once more.

    problems: new ones only, so that one fault is logged once. dropped: how many access keys a file with wrong
    owner or mode has revoked.
    """

    result: Literal["success", "unchanged", "failure"]
    problems: tuple[Problem, ...] = ()
    dropped: int = 0


class KeyStore:
    """The key ring in use. A request reads `keys` once; `poll` replaces it when the file's content changed.

    keys: from the last good content. problems: of the file now; empty where it is good. confirmed: seconds
    since the epoch at which the file was last read and good. fresh_until: monotonic time in seconds, later
    than which the keys are `stale`; `max_age_seconds` after that reading, 0: never.
    """

    __slots__ = (
        *("_clock", "_digest", "_max_age", "_monotonic", "_path"),
        *("confirmed", "fresh_until", "keys", "problems"),
    )

    def __init__(
        self,
        path: Path,
        *,
        max_age_seconds: float = 0.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the keys. Raises SettingsError."""
        self._path = path
        self._max_age = max_age_seconds
        self._clock = clock
        self._monotonic = monotonic
        file = _read(path)
        if file.problem is not None:
            raise SettingsError(file.problem)
        self.keys = parse_keys(file.content, str(path))
        self._digest = sha256(file.content).digest()
        self.problems: tuple[Problem, ...] = ()
        self._confirm()

    def __repr__(self) -> str:
        return f"<KeyStore {str(self._path)!r}: {self.keys!r}>"

    @property
    def stale(self) -> bool:
        """Whether the file has not been read and good for longer than `max_age_seconds`."""
        return self._monotonic() > self.fresh_until

    def report(self) -> dict[str, Any]:
        """Return how many keys there are, by state, and what is wrong with the file, as JSON contains it."""
        return {
            **self.keys.states(self._clock()),
            "confirmed": self.confirmed,
            "problems": [problem._asdict() for problem in self.problems],
        }

    def poll(self) -> KeysPoll:
        """Read the file once more. Raises nothing.

        A file that cannot be read or parsed changes nothing but `problems`. One with wrong owner or mode can
        only take keys away (T131).
        """
        dropped = 0
        try:
            file = _read(self._path)
            digest = sha256(file.content).digest()
            if file.problem is not None:
                kept = self.keys.kept_by(parse_keys(file.content, str(self._path)))
                dropped = len(self.keys) - len(kept)
                if dropped:
                    self.keys = kept
                    self._digest = b""  # the same content with a right mode brings the keys back
                raise SettingsError(file.problem)  # noqa: TRY301 - one way for all problems
            if digest != self._digest:
                self.keys = parse_keys(file.content, str(self._path))
                self._digest = digest
            elif not self.problems:
                self._confirm()
                return KeysPoll("unchanged")
        except SettingsError as error:
            if error.problems == self.problems and not dropped:
                return KeysPoll("unchanged")
            self.problems = error.problems
            return KeysPoll("failure", error.problems, dropped)
        self.problems = ()
        self._confirm()
        return KeysPoll("success")

    def _confirm(self) -> None:
        self.confirmed = self._clock()
        self.fresh_until = self._monotonic() + self._max_age if self._max_age else inf
