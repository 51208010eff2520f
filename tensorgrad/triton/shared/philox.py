"""Random bits: Philox 4x32-10 in counter mode, the words of csrc/device/philox.cuh and of every other device.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function


@device_function
def philox4x32_10(seed, block):
    # The four words (uint32) of each block; `seed` is a number and `block` a tensor of numbers of blocks, both of up to 64 bits.
    block = block.to(tl.uint64)
    low, high = (block & 0xFFFFFFFF).to(tl.uint32), (block >> 32).to(tl.uint32)
    zero = tl.zeros_like(low)
    return tl.philox(seed, low, high, zero, zero)


@device_function
def stretch(seed, first):
    # What a kernel draws: a graph's is told the address where seed and first block lie when it runs, and ~offset from that block.
    if first < 0:
        at = seed.to(tl.pointer_type(tl.int64))
        seed = tl.load(at)
        first = tl.load(at + 1) + (-1 - first)
    return seed, first
