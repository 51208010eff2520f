"""Cross-entropy of scores against class labels, forward, backward, and both in one pass in the scores' place.

    dx_c = g ((1 - s) w_t (p_c - [c = t]) + s / C (sum(w) p_c - w_c)),           p = softmax(x), the rest as in shared/labels.py
A program takes some positions, all their classes one tile after the other. Numbers are float32 while they are computed.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import cdiv, device_function, kernel, power_of_2, rung
from .shared.labels import loss_of, weight_of, weights_of
from .shared.softmax import part

TYPES = "float32 float16 bfloat16"
HELD = 8192  # scores of a position that a program keeps until it writes their gradients
TILE = 2048  # scores a program takes at a time
COLUMNS, CLASSES = 32, 16  # positions, and classes at a time, of a program where the classes of a position are no neighbours


@device_function
def places(positions, n, inner, blocks, STRIDED: tl.constexpr, P: tl.constexpr):
    # The positions of a program, which of them there are, and where their first scores lie; class c lies c * inner further on.
    if STRIDED:
        outer, column = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks * P + tl.arange(0, P)
        return outer * inner + column, column < inner, outer * n * inner + column
    else:
        position = tl.program_id(0).to(tl.int64) * P + tl.arange(0, P)
        return position, position < positions, position * n


@device_function
def scores(X, first, c, inner, here, n):
    at = X + first[:, None] + c.to(tl.int64)[None, :] * inner
    return tl.load(at, mask=here[:, None] & (c < n)[None, :], other=-float("inf")).to(tl.float32)


@device_function
def gradient(x, c, t, g, top, log_sum, W, weights, w, counts, n, rest, uniform, SMOOTH: tl.constexpr):
    # Of scores x of classes c, from g, that of each position's loss.
    slope = g * (rest * w + uniform * weights) if SMOOTH else g * rest * w
    dx = tl.exp((x - top[:, None]) - log_sum[:, None]) * slope[:, None]
    if SMOOTH:
        dx -= (g * uniform)[:, None] * weights_of(W, c, n)[None, :]
    dx = tl.where(c[None, :] == t[:, None], dx - (g * rest * w)[:, None], dx)
    return tl.where(counts[:, None], dx, 0.0)


@device_function
def swept(X, W, first, here, t, n, inner, SMOOTH: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr):
    # (max_c x_c, ln sum_c e^(x_c - max), x_t, sum_c w_c x_c, sum_c w_c) of each position, in one pass.
    top = tl.full([P], -float("inf"), tl.float32)
    total, own, weighted = tl.zeros([P, BLOCK], tl.float32), tl.zeros([P, BLOCK], tl.float32), tl.zeros([P, BLOCK], tl.float32)
    weights = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        x = scores(X, first, c, inner, here, n)
        higher = tl.maximum(top, tl.max(x, 1))
        total = total * tl.where(top == higher, 1.0, tl.exp(top - higher))[:, None] + part(x, x, higher[:, None], "softmax")
        top = higher
        own += tl.where(c[None, :] == t[:, None], x, 0.0)
        if SMOOTH:
            w = weights_of(W, c, n)
            weighted += tl.where((c < n)[None, :], w[None, :] * x, 0.0)
            weights += w
    return top, tl.log(tl.sum(total, 1)), tl.sum(own, 1), tl.sum(weighted, 1), tl.sum(weights, 0)


@kernel
def cross_entropy_forward(LOSS, TOP, LOG, X, TARGET, W, positions, n, inner, blocks, ignored, rest, uniform, SMOOTH: tl.constexpr,
                          STRIDED: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr):
    position, here, first = places(positions, n, inner, blocks, STRIDED, P)
    t = tl.load(TARGET + position, mask=here, other=0)
    counts = here & (t != ignored)
    top, log_sum, own, weighted, weights = swept(X, W, first, here, t, n, inner, SMOOTH, P, BLOCK)
    loss = loss_of(top, log_sum, own, weighted, weights, weight_of(W, t, counts), counts, rest, uniform, SMOOTH)
    tl.store(LOSS + position, loss, mask=here)
    tl.store(TOP + position, top, mask=here)
    tl.store(LOG + position, log_sum, mask=here)


@kernel
def cross_entropy_backward(DX, G, X, TARGET, W, TOP, LOG, positions, n, inner, blocks, ignored, rest, uniform, SMOOTH: tl.constexpr,
                           STRIDED: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr):
    position, here, first = places(positions, n, inner, blocks, STRIDED, P)
    t = tl.load(TARGET + position, mask=here, other=0)
    counts = here & (t != ignored)
    g, w = tl.load(G + position, mask=here, other=0.0), weight_of(W, t, counts)
    top, log_sum = tl.load(TOP + position, mask=here, other=0.0), tl.load(LOG + position, mask=here, other=0.0)
    weights = tl.zeros([BLOCK], tl.float32)
    if SMOOTH:
        for start in range(0, n, BLOCK):
            weights += weights_of(W, start + tl.arange(0, BLOCK), n)
    of_all = tl.sum(weights, 0)
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        x = scores(X, first, c, inner, here, n)
        dx = gradient(x, c, t, g, top, log_sum, W, of_all, w, counts, n, rest, uniform, SMOOTH)
        at = DX + first[:, None] + c.to(tl.int64)[None, :] * inner
        tl.store(at, dx.to(DX.dtype.element_ty), mask=here[:, None] & (c < n)[None, :])


@kernel
def cross_entropy_step_held(S, LOSS, G, TARGET, W, positions, n, ignored, rest, uniform, SMOOTH: tl.constexpr, GRADIENT: tl.constexpr,
                            P: tl.constexpr, BLOCK: tl.constexpr):
    position, here, first = places(positions, n, 1, 1, False, P)
    t = tl.load(TARGET + position, mask=here, other=0)
    counts = here & (t != ignored)
    c = tl.arange(0, BLOCK)
    x = scores(S, first, c, 1, here, n)
    top = tl.max(x, 1)
    log_sum = tl.log(tl.sum(part(x, x, top[:, None], "softmax"), 1))
    own, w = tl.sum(tl.where(c[None, :] == t[:, None], x, 0.0), 1), weight_of(W, t, counts)
    weighted, weights = tl.zeros([P], tl.float32), 0.0
    if SMOOTH:
        each = weights_of(W, c, n)
        weighted, weights = tl.sum(tl.where((c < n)[None, :], each[None, :] * x, 0.0), 1), tl.sum(each, 0)
    tl.store(LOSS + position, loss_of(top, log_sum, own, weighted, weights, w, counts, rest, uniform, SMOOTH), mask=here)
    if GRADIENT:
        g = tl.full([P], 1.0, tl.float32) if G is None else tl.load(G + position, mask=here, other=0.0)
        dx = gradient(x, c, t, g, top, log_sum, W, weights, w, counts, n, rest, uniform, SMOOTH)
        tl.store(S + first[:, None] + c[None, :], dx.to(S.dtype.element_ty), mask=here[:, None] & (c < n)[None, :])


@kernel
def cross_entropy_step_online(S, LOSS, G, TARGET, W, positions, n, ignored, rest, uniform, SMOOTH: tl.constexpr, GRADIENT: tl.constexpr,
                              BLOCK: tl.constexpr):
    position, here, first = places(positions, n, 1, 1, False, 1)
    t = tl.load(TARGET + position)
    counts = here & (t != ignored)
    w = weight_of(W, t, counts)
    top, log_sum, own, weighted, weights = swept(S, W, first, here, t, n, 1, SMOOTH, 1, BLOCK)  # x_t is read before it is overwritten
    tl.store(LOSS + position, loss_of(top, log_sum, own, weighted, weights, w, counts, rest, uniform, SMOOTH))
    if GRADIENT:
        g = tl.full([1], 1.0, tl.float32) if G is None else tl.load(G + position)
        for start in range(0, n, BLOCK):
            c = start + tl.arange(0, BLOCK)
            x = scores(S, first, c, 1, here, n)
            dx = gradient(x, c, t, g, top, log_sum, W, weights, w, counts, n, rest, uniform, SMOOTH)
            tl.store(S + first[:, None] + c[None, :], dx.to(S.dtype.element_ty), mask=(c < n)[None, :])


def tile_of(n: int, most: int) -> tuple[int, int, int]:
    """(positions, classes, warps) of a program, where neighbours in memory are classes."""
    block = min(power_of_2(n), most)
    return max(1, TILE // block), block, 4 if block <= 2048 else 8


def arguments(outer: int, n: int, inner: int, ignored: int, smoothing: float) -> tuple[int, tuple, dict[str, Any]]:
    """(programs, the numbers that follow the arrays, the constants) of forward and backward."""
    if inner > 1:
        blocks = cdiv(inner, COLUMNS)
        programs, constants = outer * blocks, {"STRIDED": True, "P": COLUMNS, "BLOCK": CLASSES, "num_warps": 4}
    else:
        each, block, warps = tile_of(n, TILE)
        blocks, programs, constants = 1, cdiv(outer, each), {"STRIDED": False, "P": each, "BLOCK": block, "num_warps": warps}
    return programs, (outer, n, inner, blocks, ignored, 1.0 - smoothing, smoothing / max(n, 1)), {"SMOOTH": smoothing != 0, **constants}


@rung("cross_entropy_labels", "triton/v01_online", TYPES, writes=(0, 1, 2))
def forward(loss: Any, top: Any, log_sum: Any, x: Any, target: Any, weight: Any, *sizes: Any) -> None:
    if x.size:
        programs, numbers, constants = arguments(*sizes)
        cross_entropy_forward[programs](loss, top, log_sum, x, target, weight, *numbers, **constants)


@rung("cross_entropy_labels_backward", "triton/v01_online", TYPES)
def backward(dx: Any, g: Any, x: Any, target: Any, weight: Any, top: Any, log_sum: Any, *sizes: Any) -> None:
    if x.size:
        programs, numbers, constants = arguments(*sizes)
        cross_entropy_backward[programs](dx, g, x, target, weight, top, log_sum, *numbers, **constants)


@rung("linear_cross_entropy", "triton/v01_online", TYPES, writes=(0, 1))
def step(scores: Any, loss: Any, g: Any, target: Any, weight: Any, ignored: int, smoothing: float, wanted: int) -> None:
    """Scores (positions, classes) become the gradients of the losses, where those are wanted."""
    positions, n = scores.shape
    if not scores.size:
        return
    numbers, constants = (positions, n, ignored, 1.0 - smoothing, smoothing / n), {"SMOOTH": smoothing != 0, "GRADIENT": bool(wanted)}
    if n <= HELD:
        each, block, warps = tile_of(n, HELD)
        cross_entropy_step_held[cdiv(positions, each)](scores, loss, g, target, weight, *numbers, **constants, P=each, BLOCK=block,
                                                       num_warps=warps)
    else:
        cross_entropy_step_online[positions](scores, loss, g, target, weight, *numbers, **constants, BLOCK=TILE, num_warps=8)
