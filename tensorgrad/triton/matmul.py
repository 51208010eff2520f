"""Matrix products, with what follows them: tiles by pointers for any memory layout, in parts of K, and on Hopper by tensor memory access.

`triton/v07_double_buffered` multiplies float32 as it is, `_tf32` rungs round it for the tensor cores. Where an operand cannot be moved by
tensor memory access (its rows are no multiples of 16 bytes, there is a batch), v09 and v10 run v08's kernel.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl

from .runtime import FREE, Form, address_of, cdiv, forms, kernel, layout, multiprocessors, plan, power_of_2, rung, space
from .shared.epilogue import finished
from .shared.product import grid_of_batches, launches, steps_of
from .shared.tiles import part_of_sum, place_of_tile
from .tuned import class_of, lookup

HALF = "float16 bfloat16"
TF32 = {2: "", 4: "_tf32"}  # what a rung's name ends with, by the size of an element


@kernel
def matmul_tile(C, A, B, D, E, alpha, beta, M, N, K, batches, cb, ci, cm, cn, ab, ai, am, ak, bb, bi, bk, bn, db, di, dm, dn, eb, ei,
                em, en, ACTIVATION: tl.constexpr, PRECISION: tl.constexpr, EVEN: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                BK: tl.constexpr):
    tiles = tl.cdiv(M, BM) * tl.cdiv(N, BN)
    number = tl.program_id(0) // tiles
    outer, inner = (number // batches).to(tl.int64), (number % batches).to(tl.int64)
    m, n = place_of_tile(tl.program_id(0) % tiles, M, N, BM, BN)
    total = part_of_sum(A + outer * ab + inner * ai, B + outer * bb + inner * bi, m, n, M, N, K, am, ak, bk, bn,
                        PRECISION, EVEN, BM, BN, BK)
    row, column = m + tl.arange(0, BM), n + tl.arange(0, BN)
    there = (row < M)[:, None] & (column < N)[None, :]
    d = None if D is None else D + outer * db + inner * di
    e = None if E is None else E + outer * eb + inner * ei
    y = finished(total, d, e, row, column, there, dm, dn, em, en, alpha, beta, ACTIVATION)
    at = C + outer * cb + inner * ci + row.to(tl.int64)[:, None] * cm + column.to(tl.int64)[None, :] * cn
    tl.store(at, y.to(C.dtype.element_ty), mask=there)


@kernel
def matmul_part(P, A, B, M, N, K, batches, length, ab, ai, am, ak, bb, bi, bk, bn, all_parts, PRECISION: tl.constexpr, EVEN: tl.constexpr,
                BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    tiles = tl.cdiv(M, BM) * tl.cdiv(N, BN)
    number = tl.program_id(0) // tiles
    outer, inner = (number // batches).to(tl.int64), (number % batches).to(tl.int64)
    part = tl.program_id(1)
    m, n = place_of_tile(tl.program_id(0) % tiles, M, N, BM, BN)
    first = (part * length).to(tl.int64)
    total = part_of_sum(A + outer * ab + inner * ai + first * ak, B + outer * bb + inner * bi + first * bk, m, n, M, N,
                        tl.minimum(length, K - part * length), am, ak, bk, bn, PRECISION, EVEN, BM, BN, BK)
    row, column = m + tl.arange(0, BM), n + tl.arange(0, BN)
    at = P + part.to(tl.int64) * all_parts + (number.to(tl.int64) * M + row[:, None]) * N + column[None, :]
    tl.store(at, total, mask=(row < M)[:, None] & (column < N)[None, :])


@kernel
def matmul_sum_parts(C, P, D, E, alpha, beta, M, N, batches, parts, all_parts, cb, ci, cm, cn, db, di, dm, dn, eb, ei, em, en,
                     ACTIVATION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    across = tl.cdiv(N, BN)
    tiles = tl.cdiv(M, BM) * across
    number = tl.program_id(0) // tiles
    outer, inner = (number // batches).to(tl.int64), (number % batches).to(tl.int64)
    tile = tl.program_id(0) % tiles
    row, column = tile // across * BM + tl.arange(0, BM), tile % across * BN + tl.arange(0, BN)
    there = (row < M)[:, None] & (column < N)[None, :]
    at = P + (number.to(tl.int64) * M + row[:, None]) * N + column[None, :]
    total = tl.zeros([BM, BN], tl.float32)
    for _ in range(parts):  # always in one order
        total += tl.load(at, mask=there, other=0.0)
        at += all_parts
    d = None if D is None else D + outer * db + inner * di
    e = None if E is None else E + outer * eb + inner * ei
    y = finished(total, d, e, row, column, there, dm, dn, em, en, alpha, beta, ACTIVATION)
    at = C + outer * cb + inner * ci + row.to(tl.int64)[:, None] * cm + column.to(tl.int64)[None, :] * cn
    tl.store(at, y.to(C.dtype.element_ty), mask=there)


@kernel
def matmul_hopper(C, a_map, b_map, D, E, alpha, beta, M, N, K, cm, cn, dm, dn, em, en, ACTIVATION: tl.constexpr, PRECISION: tl.constexpr,
                  A_TURNED: tl.constexpr, B_TURNED: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    # Where programs are fewer than tiles they stay and take tile after tile.
    for tile in range(tl.program_id(0), tl.cdiv(M, BM) * tl.cdiv(N, BN), tl.num_programs(0)):
        m, n = place_of_tile(tile, M, N, BM, BN)
        total = tl.zeros([BM, BN], tl.float32)
        for k in range(0, K, BK):
            a = a_map.load([k, m]).T if A_TURNED else a_map.load([m, k])
            b = b_map.load([n, k]).T if B_TURNED else b_map.load([k, n])
            total = tl.dot(a, b, total, input_precision=PRECISION)
        row, column = m + tl.arange(0, BM), n + tl.arange(0, BN)
        there = (row < M)[:, None] & (column < N)[None, :]
        y = finished(total, D, E, row, column, there, dm, dn, em, en, alpha, beta, ACTIVATION)
        tl.store(C + row.to(tl.int64)[:, None] * cm + column.to(tl.int64)[None, :] * cn, y.to(C.dtype.element_ty), mask=there)


def tile_of(m: int, n: int, most: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a tile: the most there may be, less where C is smaller."""
    return min(most[0], max(16, power_of_2(m))), min(most[1], max(16, power_of_2(n)))


def resources(precision: str, bm: int, bn: int, even: bool) -> dict[str, int]:
    """How a program runs. float32 has its sums in registers, and the masks of a ragged K beside them."""
    if precision == "ieee":
        return {"num_warps": 4 if even else 8, "num_stages": 3, "maxnreg": FREE}
    return {"num_warps": 8 if bm * bn >= 128 * 128 else 4, "num_stages": 3}


@plan
def plan_tiles(precision: str, most: tuple[int, int], step: int, dtype: Any, arrays: tuple, activation: int) -> Any:
    """The launch of v07 and v08 for C, A, B, D and E of these forms."""
    c, a, _, d, e = arrays
    (*_, m, n), k = c[0], a[0][-1]
    bm, bn = tile_of(m, n, most)
    count, inner = grid_of_batches(c[0])
    own = {"BM": bm, "BN": bn, "BK": step, **resources(precision, bm, bn, k % step == 0)}
    if precision == "tf32" and count == 1 and d is e is None:
        own = lookup(f"matmul v08_tensor_core{TF32[c[2]]}", dtype, class_of(m, n, k), own)
    return matmul_tile[cdiv(m, own["BM"]) * cdiv(n, own["BN"]) * count].bind(
        m, n, k, inner, *[s for form in arrays for s in steps_of(form)], ACTIVATION=activation, PRECISION=precision,
        EVEN=k % own["BK"] == 0, **own)


def by_pointers(precision: str, most: tuple[int, int], step: int, out: Any, x: Any, y: Any, d: Any = None, e: Any = None, alpha: Any = None,
                beta: Any = None, activation: int = 0) -> None:
    """v07 and v08: any memory layout, any batch."""
    for arrays in launches(out, x, y, d, e):
        plan_tiles(precision, most, step, out.dtype, forms(*arrays), activation)(*arrays, alpha, beta)


@plan
def plan_parts(arrays: tuple, parts: Form, activation: int) -> tuple[Any, Any]:
    """The launches of split_k for C, A, B, D and E and the parts: products, then their sums."""
    c, a, b, d, e = arrays
    (*_, m, n), k, half = c[0], a[0][-1], c[2] == 2
    most, step, precision = ((128, 128), 64, "tf32") if half else ((64, 64), 16, "ieee")
    bm, bn = tile_of(m, n, most)
    count, inner = grid_of_batches(c[0])
    number, each = parts[0]
    length = cdiv(cdiv(k, number), step) * step
    products = matmul_part[cdiv(m, bm) * cdiv(n, bn) * count, number].bind(
        m, n, k, inner, length, *steps_of(a), *steps_of(b), each, PRECISION=precision, EVEN=k % step == 0, BM=bm, BN=bn, BK=step,
        **resources(precision, bm, bn, k % step == 0))
    bm, bn = tile_of(m, n, (16, 64))
    sums = matmul_sum_parts[cdiv(m, bm) * cdiv(n, bn) * count].bind(
        m, n, inner, number, each, *steps_of(c), *steps_of(d), *steps_of(e), ACTIVATION=activation, BM=bm, BN=bn, num_warps=4, maxnreg=FREE)
    return products, sums


def by_parts(out: Any, x: Any, y: Any, *rest: Any) -> None:
    """split_k: the last argument is memory for the parts, (parts, at least C's size) in float32."""
    *after, parts = rest
    d, e, alpha, beta, activation = after or (None, None, None, None, 0)
    for arrays in launches(out, x, y, d, e):
        products, sums = plan_parts(forms(*arrays), *forms(parts), activation)
        c, a, b, d_, e_ = arrays
        products(parts, a, b)
        sums(c, parts, d_, e_, alpha, beta)


def movable(form: Form) -> bool | None:
    """Whether tensor memory access moves a matrix: False by rows, True by columns (the matrix turned), None not at all."""
    shape, strides, size = form
    if len(shape) != 2 or 0 in shape or max(shape) >= 1 << 31:
        return None
    down, right = strides
    for turned, near, far in ((False, right, down), (True, down, right)):
        if near == size and far > 0 and far % 16 == 0:
            return turned
    return None


@plan
def plan_hopper(persistent: bool, precision: str, dtype: Any, arrays: tuple, added: bool, activation: int) -> tuple[Any, Any, Any] | None:
    """The launch of v09 or v10, and the layouts of A and B; None where these cannot be moved so."""
    c, a, b, d, e = arrays
    a_turned, b_turned = movable(a), movable(b)
    if a_turned is None or b_turned is None:
        return None
    (m, n), k, step = c[0], a[0][1], 128 // c[2]
    bm, bn = tile_of(m, n, (128, step * 2) if added else (128, 256))  # what is added needs registers too
    own = {"BM": bm, "BN": bn, "BK": step, "num_warps": 8 if bm == 128 else 4, "num_stages": 3}
    if not added:
        own = lookup(f"matmul {'v10_persistent' if persistent else 'v09_hopper'}{TF32[c[2]]}", dtype, class_of(m, n, k), own)
        bm, bn, step = own["BM"], own["BN"], own["BK"]
    tiles = cdiv(m, bm) * cdiv(n, bn)
    maps = [layout(shape[::-1], strides[::-1], size, block[::-1]) if turned else layout(shape, strides, size, block)
            for (shape, strides, size), turned, block in ((a, a_turned, (bm, step)), (b, b_turned, (step, bn)))]
    launch = matmul_hopper[min(tiles, multiprocessors()) if persistent else tiles].bind(
        m, n, k, *steps_of(c)[2:], *steps_of(d)[2:], *steps_of(e)[2:], ACTIVATION=activation, PRECISION=precision, A_TURNED=a_turned,
        B_TURNED=b_turned, **own)
    return launch, *maps


def by_tensor_memory(persistent: bool, precision: str, out: Any, x: Any, y: Any, d: Any = None, e: Any = None, alpha: Any = None,
                     beta: Any = None, activation: int = 0) -> None:
    """v09 and v10: Hopper's tensor memory access brings the tiles."""
    found = plan_hopper(persistent, precision, out.dtype, forms(out, x, y, d, e), alpha is not None, activation)
    if found is None or (address_of(x) | address_of(y)) % 16:
        by_pointers(precision, (128, 128), 128 // out.itemsize, out, x, y, d, e, alpha, beta, activation)
        return
    launch, a_map, b_map = found
    launch(out, a_map(x), b_map(y), d, e, alpha, beta)


for _op in ("matmul", "gemm"):
    rung(_op, "triton/v07_double_buffered", "float32")(lambda *args: by_pointers("ieee", (64, 64), 16, *args))
    rung(_op, "triton/v08_tensor_core", HALF)(lambda *args: by_pointers("tf32", (128, 128), 64, *args))
    rung(_op, "triton/v08_tensor_core_tf32", "float32")(lambda *args: by_pointers("tf32", (128, 128), 32, *args))
    rung(_op, "triton/v09_hopper", HALF, chips=(90, 99))(lambda *args: by_tensor_memory(False, "tf32", *args))
    rung(_op, "triton/v09_hopper_tf32", "float32", chips=(90, 99))(lambda *args: by_tensor_memory(False, "tf32", *args))
    rung(_op, "triton/v10_persistent", HALF, chips=(90, 99))(lambda *args: by_tensor_memory(True, "tf32", *args))
    rung(_op, "triton/split_k", "float32 " + HALF)(by_parts)


def product(dtype: Any, m: int, n: int, k: int) -> list[Any]:
    """C, A and B to tune with."""
    numbers = np.random.default_rng(0)
    return [np.empty((m, n), dtype), *[numbers.standard_normal(shape, np.float32).astype(dtype) for shape in ((m, k), (k, n))]]


_CUBES = tuple([(n, n, n) for n in (512, 1024, 2048, 4096, 8192)])
for _name, _types, _deep in (("v08_tensor_core", HALF, (32, 64)), ("v08_tensor_core_tf32", "float32", (16, 32))):
    space(f"matmul {_name}", _types, "MxNxK", _CUBES, product, BM=(64, 128), BN=(64, 128, 256), BK=_deep, num_warps=(4, 8),
          num_stages=(3, 4))
for _name, _types, _step in (("v09_hopper", HALF, 64), ("v09_hopper_tf32", "float32", 32), ("v10_persistent", HALF, 64)):
    space(f"matmul {_name}", _types, "MxNxK", _CUBES, product, BM=(64, 128), BN=(64, 128, 256), BK=(_step,), num_warps=(4, 8),
          num_stages=(2, 3, 4))
