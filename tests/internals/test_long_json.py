"""A long JSON text is searched in another way than a short one, and read as the short one is (T86)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard import strict_json
from camguard.strict_json import parse_json

TEXTS = st.text('a"\\/,:[{')


@given(
    st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
)
def test_a_long_text_is_read_as_a_short_one_is(tree: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_LONG", 0)
        assert parse_json(json.dumps(tree), most=10_000) == tree
