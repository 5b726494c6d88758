"""What the lane keeps of signed requests is bounded in number (T101)."""

from __future__ import annotations

import asyncio

import pytest

from camguard.enforcement import notes
from camguard.enforcement.lane import Lane
from tests.recognition import KEYS, SETTINGS_TRIED, Ask, World


@pytest.mark.parametrize("most", [1, 2, 3])
def test_t101_decisions_on_few_signed_callers_are_kept(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_CALLERS", most)
    world = World(SETTINGS_TRIED[0], Lane)
    numbers = []

    async def play() -> None:
        for number in (0, 2, 4, 0, 2, 4, 0):  # a key that is read anew is another caller
            world.keys = KEYS[number]
            await world.ask(Ask((("authorization", "good"), ("x-camguard-principal", None))))
            resolved = world.guard._early.resolved
            assert resolved is not None
            (known,) = resolved.lane._known.values()
            numbers.append(len(known.signed))

    asyncio.run(play())
    assert max(numbers) == most
    assert numbers[:most] == list(range(1, most + 1))
