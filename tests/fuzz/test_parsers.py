"""No reader of outside text raises what it should not: mutated good inputs, and bytes of no sense at all.

`python tests/fuzz/atheris_run.py --seconds 600` asks the same, led by coverage, as long as one likes.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target

EXAMPLES = int(os.environ.get("CAMGUARD_FUZZ_EXAMPLES", "60"))


def mutated(target: Target) -> st.SearchStrategy[bytes]:
    """Return good inputs in which some places were cut out, doubled, or have something put in."""
    word = st.one_of(st.sampled_from(target.words), st.binary(max_size=4))
    edits = st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), word, st.sampled_from([1, 1, 1, 2, 50])), max_size=6
    )

    def made(seed: bytes, edits: list[tuple[float, int, bytes, int]]) -> bytes:
        for place, gone, word, times in edits:
            at = int(place * len(seed))
            seed = seed[:at] + word * times + seed[at + gone :]
        return seed

    return st.builds(made, st.sampled_from((*target.seeds, b"")), edits)


@pytest.mark.parametrize("name", TARGETS)
def test_any_text_is_read_or_refused(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(mutated(target), st.binary(max_size=200)))
    def read(data: bytes) -> None:
        target.read(data)

    read()


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_starts_from_is_good(name: str) -> None:
    """Mutations of what was never good would ask for nothing but the first check."""
    target = TARGETS[name]
    for seed in target.seeds:
        found = target.read(seed)
        assert getattr(found, "reason", None) is None, seed
        assert found is not None or name in NAMELESS, seed


NAMELESS = {"query and form"}  # a form need not name an action
