"""Blocks of an array of images (N, C, H, W), one for each program: rows of planes, or channels of pixels, whichever are neighbours."""
from __future__ import annotations

from typing import Any

import triton.language as tl

from ..runtime import cdiv, device_function, power_of_2

BLOCK, WIDEST = 1024, 128  # elements of a program, and how many neighbours of them


@device_function
def place_of_block(number, images, channels, high, wide, LAST: tl.constexpr, OUTER: tl.constexpr, INNER: tl.constexpr):
    # (image, channel, row, column) of the elements of block `number`, (OUTER, INNER) of them, and which there are.
    length = channels if LAST else wide
    across = tl.cdiv(length, INNER)
    outer = (number // across * OUTER + tl.arange(0, OUTER))[:, None]
    inner = (number % across * INNER + tl.arange(0, INNER))[None, :]
    if LAST:
        n, c, y, x = outer // wide // high, inner, outer // wide % high, outer % wide
    else:
        n, c, y, x = outer // high // channels, outer // high % channels, outer % high, inner
    return n, c, y, x, (n < images) & (inner < length)


def blocks_of(out: Any, image: Any, last: bool) -> tuple[int, tuple[int, ...], dict[str, Any]]:
    """(programs, sizes of the result, the constants of its blocks)."""
    n, c, h, w = out.shape
    if image.shape[2] * image.shape[3] >= 1 << 31:
        raise ValueError(f"Triton's kernels of images: a plane of {image.shape[2]} x {image.shape[3]} elements has more than they count, "
                         "2^31 - 1")
    length, lines = (c, n * h * w) if last else (w, n * c * h)
    if lines >= (1 << 31) - BLOCK:
        raise ValueError(f"Triton's kernels of images: {lines} lines of a result of shape {out.shape} are more than they count, 2^31 - 1")
    inner = min(WIDEST, power_of_2(length))
    outer = min(BLOCK // inner, power_of_2(lines))
    return cdiv(length, inner) * cdiv(lines, outer), (n, c, h, w), {"LAST": last, "OUTER": outer, "INNER": inner, "num_warps": 4}
