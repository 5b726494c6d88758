"""Star patterns beside a second reader, and in time that does not explode."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from camguard.policy.patterns import star_match

LETTERS = st.text("ab*?[.\n/", max_size=12)


@given(LETTERS, LETTERS)
def test_a_star_is_any_run_and_all_else_is_itself(pattern: str, text: str) -> None:
    second = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert star_match(pattern, text) is bool(second.fullmatch(text))


@given(st.text(max_size=20))
def test_a_text_without_stars_matches_itself_alone(text: str) -> None:
    plain = text.replace("*", "")
    assert star_match(plain, plain)
    assert not star_match(plain, plain + "x")


def test_many_stars_take_linear_time() -> None:
    begin = time.process_time()
    assert not star_match("*a" * 2000 + "b", "a" * 100_000)
    assert time.process_time() - begin < 0.5, "T94: the pieces are found one after the other"
