"""The bounded cache: what it computes, what it keeps, and when it is emptied."""

from __future__ import annotations

import pytest

from camguard.bounded_cache import BoundedCache


def test_a_missing_value_is_computed_once() -> None:
    computed: list[str] = []

    def upper(key: str) -> str:
        computed.append(key)
        return key.upper()

    cache = BoundedCache(upper)
    assert [cache["a"], cache["a"], cache["b"]] == ["A", "A", "B"]
    assert computed == ["a", "b"]


def test_a_cache_is_emptied_when_full_and_keeps_no_long_key() -> None:
    cache = BoundedCache(len, entries=2, longest=3)
    assert [cache[text] for text in ("a", "bb", "ccc", "dddd")] == [1, 2, 3, 4]
    assert dict(cache) == {"ccc": 3}


def test_a_value_that_is_set_counts_like_a_computed_one() -> None:
    cache: BoundedCache[str, int] = BoundedCache(entries=2, longest=3)
    cache["a"], cache["b"], cache["b"], cache["long"] = 1, 2, 3, 4
    assert dict(cache) == {"a": 1, "b": 3}, "a key that is there does not empty the cache"
    cache["c"] = 5
    assert dict(cache) == {"c": 5}


def test_a_key_without_a_value_and_without_a_function_is_missing() -> None:
    cache: BoundedCache[str, int] = BoundedCache()
    with pytest.raises(KeyError):
        cache["a"]
    assert cache.get("a") is None


def test_keys_that_are_not_text_have_a_size_of_their_own() -> None:
    cache: BoundedCache[tuple[str, str], str] = BoundedCache(
        "".join, longest=3, size=lambda key: len("".join(key))
    )
    assert [cache["a", "bc"], cache["ab", "cd"]] == ["abc", "abcd"]
    assert list(cache) == [("a", "bc")]
