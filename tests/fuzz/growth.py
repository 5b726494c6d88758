"""How the cost of reading grows: time by doubling the input, memory by what is allocated at the peak."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

NOISE = 0.002  # seconds below which a clock on a busy machine says nothing
ENOUGH = 0.05  # seconds of the smaller run, from which on a ratio is meaningful


def seconds(read: Callable[[bytes], object], data: bytes, tries: int = 3) -> float:
    """Return the least CPU time of some tries: others on the machine only ever add."""
    least = float("inf")
    for _ in range(tries):
        began = time.process_time()
        read(data)
        least = min(least, time.process_time() - began)
    return least


def ratio(read: Callable[[bytes], object], make: Callable[[int], bytes], start: int, most: int) -> float:
    """Return time of twice the input over time of the input, where that can be measured.

    make: an input of so many pieces. start, most: pieces to begin with, and not to go beyond.
    Returns 1 where even the largest input is read in no time.
    """
    size = start
    while size * 2 <= most:
        once = seconds(read, make(size))
        if once >= ENOUGH:
            return seconds(read, make(2 * size)) / once
        size *= 2
    small, large = seconds(read, make(most // 2)), seconds(read, make(most))
    return 1.0 if large < NOISE else large / max(small, NOISE)


def peak(read: Callable[[bytes], object], data: bytes) -> int:
    """Return bytes that one reading allocates at its peak, beside its input."""
    read(data)  # what is remembered is no cost of this one
    gc.collect()
    tracemalloc.start()
    try:
        read(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
