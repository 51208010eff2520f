"""Tiles of a product: which one a program takes, and its sum over a part of K by pointers."""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function


@device_function
def place_of_tile(number, M, N, BM: tl.constexpr, BN: tl.constexpr):
    # Eight rows of tiles go down together before the next column: neighbours in time share their operands in the L2 cache.
    down, across = tl.cdiv(M, BM), tl.cdiv(N, BN)
    first = number // (8 * across) * 8
    high = tl.minimum(down - first, 8)
    inside = number % (8 * across)
    return (first + inside % high) * BM, inside // high * BN


@device_function
def part_of_sum(A, B, m, n, M, N, K, am, ak, bk, bn, PRECISION: tl.constexpr, EVEN: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                BK: tl.constexpr):
    # Sum over k below K of A[m + i, k] B[k, n + j]; EVEN: K is a multiple of BK.
    i, j, k = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, BK)
    a = A + m.to(tl.int64) * am + (i[:, None] * am + k[None, :] * ak)
    b = B + n.to(tl.int64) * bn + (k[:, None] * bk + j[None, :] * bn)
    row, column = (m + i < M)[:, None], (n + j < N)[None, :]
    total = tl.zeros([BM, BN], tl.float32)
    for at in range(0, K, BK):
        left = row if EVEN else row & (at + k < K)[None, :]
        right = column if EVEN else column & (at + k < K)[:, None]
        total = tl.dot(tl.load(a, mask=left, other=0.0), tl.load(b, mask=right, other=0.0), total, input_precision=PRECISION)
        a += BK * ak
        b += BK * bk
    return total
