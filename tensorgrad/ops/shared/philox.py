"""The random words behind dropout as they were published: the oracle of the kernels that draw them."""
from __future__ import annotations

from typing import Any

import numpy as np


def words(seed: int, first: int, count: int) -> Any:
    """The first `count` 32-bit words, as uint64, of the Philox 4x32-10 stream of `seed` from block `first` on.

    Ten rounds over a counter (block number, 0) of four words with a key of two, which grows by a constant each round. Salmon, Moraes,
    Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.2.
    """
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    block = np.arange((count + 3) // 4, dtype=np.uint64) + np.uint64(first)
    c = [block & low, block >> half, np.zeros_like(block), np.zeros_like(block)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> half) ^ c[1] ^ np.uint64(key[0]), b & low, (a >> half) ^ c[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]  # the golden ratio, the root of 3
    return np.stack(c, 1).reshape(-1)[:count]
