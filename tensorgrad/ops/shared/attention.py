"""What kernels of attention are given, and what on a GPU the choice of one depends on."""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ... import dispatch, dtypes
from ...device import CPU
from ...random import reserve, signed64
from ...workspace import get_workspace_limit
from .philox import words

# The longest vector of a head, in bytes, that a rung's tiles hold: where a block has 163 KB of shared memory or more, and where it has 99.
HEAD_BYTES = {"cuda/v01_flash": (1024, 512), "cuda/v02_flash_tensor_core": (512, 512), "cuda/v03_flash_hopper": (512, 0),
              "cuda/decode": (512, 512), "triton/v01_flash": (512, 512), "triton/v02_flash_tensor_core": (256, 256),
              "triton/decode": (512, 512)}
SMALL = (86, 89, 120, 121)  # compute capabilities with 99 KB
FEW, MANY = 16, 512  # queries and keys from which on they are shared among blocks


def wide(x: Any) -> Any:
    """Statistics of half-precision tensors are kept in float32."""
    return np.dtype(np.float32) if dtypes.BY_NUMPY[x.dtype] in (dtypes.float16, dtypes.bfloat16) else x.dtype


class Call(NamedTuple):
    """What the choice of a kernel depends on, on a GPU."""

    head: int  # bytes of the longer vector of a head, rounded up to a power of two
    small: bool  # a block has but 99 KB of shared memory
    tma: bool  # TMA can fetch queries, keys and values, and the gradient of the output
    few: bool  # few queries and many keys
    masked: bool  # there is a mask
    dropping: bool  # weights are dropped


def call_of(device: Any, q: Any, k: Any, v: Any, mask: Any, dropping: bool, *more: Any) -> tuple[Call, ...]:
    """How a call looks to a GPU, `more` being other vectors that it reads; nothing on a CPU."""
    if device is CPU:
        return ()
    head = 1 << int(max(q.shape[3], v.shape[3], 1) * q.itemsize - 1).bit_length()
    few = q.shape[2] <= FEW and k.shape[2] >= MANY and q.shape[1] * q.shape[2] <= 4 * FEW * k.shape[1]
    tma = all(tma_can_fetch(x, device.backend.address(x)) for x in (q, k, v, *more))
    return (Call(head, device.backend.chip(device.index) in SMALL, tma, few, mask is not None, dropping),)


def tma_can_fetch(x: Any, address: int) -> bool:
    """Whether vectors lie at multiples of 16 bytes, one after another."""
    steps = [step for step, n in zip(x.strides[:3], x.shape[:3], strict=True) if n > 1]
    return x.size > 0 and address % 16 == 0 and all(step > 0 and step % 16 == 0 for step in steps)


def holds_heads(kernel: dispatch.Kernel, call: Call, heads: dict[str, tuple[int, int]]) -> str | None:
    """Why the tiles of a rung do not hold vectors of this many bytes, or laid out as they are."""
    if kernel.path == "cuda/v03_flash_hopper" and not call.tma:
        return "needs vectors at multiples of 16 bytes, for TMA, and at least one key"
    limit = heads.get(kernel.path, (call.head, call.head))[call.small]
    where = "the 99 KB of shared memory" if call.small else "shared memory"
    return f"holds heads of up to {limit} bytes in {where}, these have more" if call.head > limit else None


def reserved(op: str, device: Any, scores: tuple[int, ...]) -> tuple[int, int]:
    """A stretch of the stream of the device's generator for dropout of these scores: whole blocks for each query, four keys each."""
    if device.backend.capturing():
        raise RuntimeError(f"{op}: dropout inside of attention cannot be captured in a graph: every replay would drop the same weights; "
                           "dropout_p=0, and dropout of the result in its place, can be")
    return reserve(op, device, None, math.prod(scores[:-1]) * -(-scores[-1] // 4) * 4)


def dropout_of(p: float, state: tuple[int, int]) -> tuple[int, int, int, float]:
    """What kernels are told: the seed, the first block, the bound below which a word keeps its weight, the factor of what is kept."""
    return signed64(state[0]), state[1], round((1 - p) * 2**32), 1 / (1 - p) if p < 1 else 0.0


def multipliers(scores: tuple[int, ...], seed: int, block: int, limit: int, factor: float) -> np.ndarray:
    """What dropout multiplies weights (B, H, L, S) by: a query's numbers are the first of whole blocks of the stream."""
    if factor == 1:
        return np.broadcast_to(1.0, scores)
    padded = (*scores[:-1], -(-scores[-1] // 4) * 4)
    return np.where(words(seed % 2**64, block, math.prod(padded)) < np.uint64(limit), factor, 0.0).reshape(padded)[..., :scores[-1]]


def as_read(device: Any, q: Any, k: Any, v: Any) -> tuple:
    """The arrays as kernels take them: vectors without gaps, and on a CPU, which reads keys and values again and again, no gaps between
    them. So keys and values may be the filled part of a longer cache."""
    xp = device.backend.xp

    def without_gaps(x: Any) -> Any:
        whole = x.strides[3] == x.itemsize and (device is not CPU or x is q or x.strides[2] == x.shape[3] * x.itemsize)
        return x if whole else xp.ascontiguousarray(x)

    return without_gaps(q), without_gaps(k), without_gaps(v)


def scores_at_a_time(q: Any, k: Any) -> int:
    """Elements of a workspace for as many rows of scores as its limit allows, but at least one."""
    b, h, n, _ = q.shape
    row = max(k.shape[2], 1) * wide(q).itemsize
    return min(b * h * n, max(get_workspace_limit() // row, 1)) * k.shape[2]


def parts_of(q: Any, k: Any) -> int:
    """Among how many blocks the keys of a head are worth sharing: enough for a large GPU (H200: 132 multiprocessors), 256 keys for each."""
    rows = q.shape[1] // max(k.shape[1], 1) * q.shape[2]
    blocks = q.shape[0] * k.shape[1] * -(-rows // FEW)
    return max(2, min(256 // max(blocks, 1), k.shape[2] // 256))  # whoever asks for this rung gets what it is about
