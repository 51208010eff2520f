"""Calls of the convolution kernels on `emu` and what they should give, in float64, for the tests of their ladder."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from sampling import relative_error

import tensorgrad as tg
from tensorgrad import dispatch

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
CONV = dispatch._ops["conv2d"]
TABLES = {op: {path: k for path, k in dispatch.kernels_of("emu")[op].items() if k.family == "cuda"} for op in OPS}
FUSED = {path: k for path, k in dispatch.kernels_of("emu")["conv2d_fused"].items() if k.family == "cuda"}
RUNGS = sorted({(path, name) for table in TABLES.values() for path in table for name in table[path].dtypes})
TMA = sorted({path for path, _ in RUNGS if "tma" in path})
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3, "tf32": 1e-3}  # of one rounding, about
LAYOUTS = ("NCHW", "NHWC", "gaps", "reversed")


def layout(a, way):
    """The same values in other memory."""
    if way == "NHWC":
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if way == "gaps":
        wide = np.full((*a.shape[:-1], 3 * a.shape[-1]), np.nan, a.dtype)
        wide[..., ::3] = a
        return wide[..., ::3]
    if way == "reversed":
        return np.ascontiguousarray(a[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    return a


def patches(w, stride, dilation, size):
    """(i, j, rows, columns) of each tap: where its pixels lie in the padded image."""
    for i in range(w[2]):
        for j in range(w[3]):
            first = i * dilation[0], j * dilation[1]
            yield i, j, *(slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(first, size, stride, strict=True))


def expected(x, w, gy, bias, stride, padding, dilation, groups):
    """(y, dx, dw) in float64."""
    x, w, gy = (a.astype(np.float64) for a in (x, w, gy))
    size = gy.shape[2:]
    reach = [(size[d] - 1) * stride[d] + dilation[d] * (w.shape[2 + d] - 1) + 1 for d in (0, 1)]
    after = [max(0, reach[d] - x.shape[2 + d] - padding[d]) for d in (0, 1)]
    big = np.pad(x, ((0, 0), (0, 0), (padding[0], after[0]), (padding[1], after[1])))
    g = (len(x), groups)
    split = gy.reshape(*g, len(w) // groups, *size)
    y, dbig, dw = np.zeros(split.shape), np.zeros(big.shape), np.zeros(w.shape)
    for i, j, rows, columns in patches(w.shape, stride, dilation, size):
        tap = w[:, :, i, j].reshape(groups, -1, w.shape[1])
        seen = big[:, :, rows, columns].reshape(*g, w.shape[1], *size)
        y += np.einsum("gok,ngkpq->ngopq", tap, seen)
        dbig[:, :, rows, columns] += np.einsum("gok,ngopq->ngkpq", tap, split).reshape(*big.shape[:2], *size)
        dw[:, :, i, j] = np.einsum("ngopq,ngkpq->gok", split, seen).reshape(w.shape[:2])
    y = y.reshape(gy.shape) + (0 if bias is None else bias.astype(np.float64)[:, None, None])
    return y, dbig[:, :, padding[0]:padding[0] + x.shape[2], padding[1]:padding[1] + x.shape[3]], dw


def empty(shape, dtype, way):
    """An array for a result, on the device."""
    if way != "NHWC":
        return emu.xp.empty(shape, dtype)
    n, c, h, w = shape
    return emu.xp.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def by_tma(path):
    """Such a rung takes images with the channels last, in eights, and no groups."""
    return "tma" in path


def fitting(path, x, w, options, ways):
    """A case as a rung takes it: like the given one where it takes every case."""
    if not by_tma(path):
        return x, w, options, ways
    eights = [-(-c // 8) * 8 for c in (w[1], w[0])]
    return ((x[0], eights[0], *x[2:]), (eights[1], eights[0], *w[2:]), {k: v for k, v in options.items() if k != "groups"},
            ("NHWC", ways[1], "NHWC"))


def passes(name, x, w, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, ways=("NCHW",) * 3, seed=0):
    """The options kernels take, and of each pass its op, what it is given, the way its result is to lie, and its result in float64."""
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(s).astype(NUMPY[name]) for s in (x, w))
    bias = rng.standard_normal(len(w)).astype(NUMPY[name]) if bias else None
    size = [(x.shape[2 + d] + 2 * padding[d] - dilation[d] * (w.shape[2 + d] - 1) - 1) // stride[d] + 1 for d in (0, 1)]
    gy = rng.standard_normal((len(x), len(w), *size)).astype(NUMPY[name])
    wanted = expected(x, w, gy, bias, stride, padding, dilation, groups)
    x, w, gy = (layout(a, way) for a, way in zip((x, w, gy), ways, strict=True))
    given = (x, w, bias), (gy, w), (gy, x)
    return (*stride, *padding, *dilation, groups), list(zip(OPS, given, (ways[2], ways[0], "NCHW"), wanted, strict=True))


def close_enough(path, name, op, got, want):
    error = relative_error(got, want)
    assert error <= TOLERANCE["tf32" if path.endswith("tf32") else name], f"{op}: relative error {error:.3g}"


def check(path, name, *case, space=1 << 16, **more):
    """Run the three kernels of a rung and compare with float64."""
    options, runs = passes(name, *case, **more)
    scratch = emu.xp.empty(space, np.float64 if name == "float64" else np.float32)
    for op, given, way, want in runs:
        if path in TABLES[op]:
            got = empty(want.shape, NUMPY[name], way)
            TABLES[op][path].call(got, *given, scratch, *options)
            close_enough(path, name, op, got, want)


def depthwise_only(path):
    return "depthwise" in path


def images(*shape):
    """A tensor (N, C, H, W) of bfloat16 on emu with the channels last in memory."""
    n, c, h, w = shape
    return tg.randn(n, h, w, c, device="emu", dtype=tg.bfloat16).permute(0, 3, 1, 2)
