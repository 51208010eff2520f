"""Matrix products on a GPU: what kind of shape one has, and the memory for a sum in parts."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

FEW = 8  # rows or columns that are read as vectors
TILE = 128  # rows and columns of a tile of C that the large rungs give a block
BLOCKS = 128  # to keep a large GPU busy: A100 has 108 multiprocessors, H100 132
LEAST = 256  # of K in a part; shorter ones cost more than they bring


def kind_of(out: Any, x: Any) -> str:
    """Which rung a product `out` (..., M, N) of `x` (..., M, K) is for: "gemv" (few rows or columns), "split_k" or "large"."""
    m, n = out.shape[-2:]
    if m <= FEW or n <= FEW:
        return "gemv"
    return "split_k" if parts_of(out, x) > 1 else "large"


def parts_of(out: Any, x: Any) -> int:
    """Into how many parts of K a product is worth dividing: enough blocks for the GPU, each with enough to do."""
    m, n = out.shape[-2:]
    tiles = -(-m // TILE) * -(-n // TILE) * (out.size // (m * n)) if out.size else 1
    return max(1, min(BLOCKS // tiles, x.shape[-1] // LEAST))


def with_parts(kernel: Callable[..., Any], xp: Any, out: Any, x: Any, y: Any, *after: Any) -> None:
    """Call a split-K kernel with memory for its parts."""
    parts = max(2, parts_of(out, x))  # whoever asks for this rung gets what it is about
    kernel(out, x, y, *after, xp.empty((parts, max(out.size, 1)), "float32"))
