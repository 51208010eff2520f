"""Products of groups whose sizes are data, in one launch: programs stay and take tile after tile, of whatever group.

Rows are divided where B has a matrix for each group, else the inner dimension is: as in csrc/cuda/grouped_mm/groups.h. The host never
reads where groups end, so nothing waits for the GPU. Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import FREE, cdiv, forms, kernel, multiprocessors, plan, power_of_2, rung, steps_of_form
from .shared.tiles import part_of_sum, place_of_tile


@kernel
def grouped_mm_rows(C, A, B, Ends, groups, M, N, K, cm, cn, am, ak, bg, bk, bn, PRECISION: tl.constexpr, EVEN: tl.constexpr,
                    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    tile = tl.program_id(0)
    before, begin = 0 * tile, 0 * tile  # tiles and rows of the groups before
    for g in range(groups + 1):  # behind the last, the rows that are left: a product over nothing
        end = tl.minimum(tl.maximum(tl.load(Ends + g, mask=g < groups, other=M), begin), M)
        k = tl.where(g < groups, K, 0)
        tiles = tl.cdiv(end - begin, BM) * tl.cdiv(N, BN)
        start = tl.minimum(g, groups - 1).to(tl.int64)
        while tile < before + tiles:
            m, n = place_of_tile(tile - before, end - begin, N, BM, BN)
            total = part_of_sum(A + begin.to(tl.int64) * am, B + start * bg, m, n, end - begin, N, k, am, ak, bk, bn, PRECISION, EVEN, BM,
                                BN, BK)
            row, column = m + tl.arange(0, BM), n + tl.arange(0, BN)
            at = C + (begin + row).to(tl.int64)[:, None] * cm + column.to(tl.int64)[None, :] * cn
            tl.store(at, total.to(C.dtype.element_ty), mask=(row < end - begin)[:, None] & (column < N)[None, :])
            tile += tl.num_programs(0)
        before += tiles
        begin = end


@kernel
def grouped_mm_inner(C, A, B, Ends, groups, M, N, K, cg, cm, cn, am, ak, bk, bn, PRECISION: tl.constexpr, BM: tl.constexpr,
                     BN: tl.constexpr, BK: tl.constexpr):
    tiles = tl.cdiv(M, BM) * tl.cdiv(N, BN)
    for tile in range(tl.program_id(0), groups * tiles, tl.num_programs(0)):
        g = tile // tiles
        begin = tl.minimum(tl.maximum(tl.load(Ends + g - 1, mask=g > 0, other=0), 0), K)
        end = tl.minimum(tl.maximum(tl.load(Ends + g), begin), K)
        m, n = place_of_tile(tile % tiles, M, N, BM, BN)
        first = begin.to(tl.int64)
        total = part_of_sum(A + first * ak, B + first * bk, m, n, M, N, end - begin, am, ak, bk, bn, PRECISION, False, BM, BN, BK)
        row, column = m + tl.arange(0, BM), n + tl.arange(0, BN)
        at = C + g.to(tl.int64) * cg + row.to(tl.int64)[:, None] * cm + column.to(tl.int64)[None, :] * cn
        tl.store(at, total.to(C.dtype.element_ty), mask=(row < M)[:, None] & (column < N)[None, :])


def tile_of(half: bool) -> tuple[int, int, int]:
    """Rows, columns and inner elements of a tile."""
    return (128, 128, 64) if half else (64, 64, 16)


@plan
def plan_groups(arrays: tuple) -> Any:
    """The launch for C, A, B and where groups end."""
    c, a, b, ends = arrays
    (m, k), n, groups, half = a[0], b[0][-1], ends[0][0], c[2] == 2
    bm, bn, bk = tile_of(half)
    bm, bn = min(bm, max(16, power_of_2(m))), min(bn, max(16, power_of_2(n)))
    options = {"PRECISION": "tf32" if half else "ieee", "BM": bm, "BN": bn, "BK": bk, "num_warps": 8, "num_stages": 3, "maxnreg": FREE}
    down, across = cdiv(m, bm), cdiv(n, bn)
    numbers = groups, m, n, k, *steps_of_form(c), *steps_of_form(a), *steps_of_form(b)
    if len(b[0]) == 3:
        return grouped_mm_rows[min((down + groups) * across, multiprocessors())].bind(*numbers, EVEN=k % bk == 0, **options)
    return grouped_mm_inner[min(down * groups * across, multiprocessors())].bind(*numbers, **options)


@rung("grouped_mm", "triton/v07_double_buffered", "float32")
@rung("grouped_mm", "triton/v10_persistent", "float16 bfloat16")
def grouped_mm(out: Any, a: Any, b: Any, ends: Any) -> None:
    if out.size:
        plan_groups(forms(out, a, b, ends))(out, a, b, ends)
