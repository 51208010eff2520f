"""Bugs planted in copies of the pooling kernels: does the emulator show them? What counts as that is said in tests/planted.py."""
from __future__ import annotations

import numpy as np
import planted
import pytest
from planted import Call, Made
from test_pooling import by_loops

pytestmark = planted.pytestmark

# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("v00_direct", "a result too many", "thread >= out.size()", "thread > out.size()", 1),
    ("v00_direct", "the last column of windows is not asked", "j < columns.end(w); ++j", "j < columns.end(w) - 1; ++j", 1),
    ("v00_direct/windows", "a window begins at the edge, whatever the dilation", "first + (-first + step - 1) / step * step", "0", 1),
    ("v00_direct/windows", "a window ends before its last row", "(kernel - 1) * step + 1, length)", "(kernel - 1) * step, length)", 1),
    ("v00_direct/windows", "a window ends beyond the edge", "(kernel - 1) * step + 1, length)", "(kernel - 1) * step + 1, length + 1)", 1),
    ("v00_direct/windows", "NaN is not the largest", "value > best || value != value", "value > best", 1),
    ("v00_direct/windows", "the last wins among equals", "return value > best", "return value >= best", 1),
    ("v00_direct/windows", "images and channels change places", "int(plane / C), int(plane % C)", "int(plane % C), int(plane / C)", 1),
    ("v01_channels_last", "a chunk too many", "thread >= out.size() / WIDE", "thread > out.size() / WIDE", 1),
    ("v01_channels_last", "the first channel's maximum for all", "I(at[v])", "I(at[0])", 1),
    ("v01_channels_last", "the first channel's gradient for all", "at[v] == I(h)", "at[0] == I(h)", 1),
    ("v01_channels_last/windows", "chunks overlap", "int(t % (C / wide)) * wide", "int(t % (C / wide))", 1),
]
KERNEL, STRIDE, PADDING, DILATION = (3, 2), (2, 1), (1, 1), (2, 1)


def texts(rung, *bug):
    """The text of a rung and its headers: what is not called is not compiled."""
    found = planted.texts_of(f"pooling/{rung}", *bug)
    return {name: text.replace("<float, double, __nv_bfloat16, __half>", "<float>") for name, text in found.items()}


def reach(size, windows, dim):
    """For each position the first window that may hold it and the one after the last."""
    first = np.arange(windows) * STRIDE[dim] - PADDING[dim]
    last = first + (KERNEL[dim] - 1) * DILATION[dim]
    return (np.array([(last < i).sum() for i in range(size)]), np.array([(first <= i).sum() for i in range(size)]))


def calls(rung):
    rung = rung.partition("/")[0]
    last = rung == "v01_channels_last"
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (2, 8, 9, 6)).astype(np.float32)  # many are equal
    x[x == -2], x[rng.random(x.shape) < 0.03] = -np.inf, np.nan
    planes = [by_loops(x[p], KERNEL, STRIDE, PADDING, DILATION, False) for p in np.ndindex(2, 8)]
    y, at = (np.array(a).reshape(2, 8, *a[0].shape).astype(np.float64) for a in zip(*planes, strict=True))
    g = rng.integers(-3, 4, y.shape).astype(np.float32)  # sums of these are exact
    dx = np.zeros(x.shape)
    for p in np.ndindex(2, 8):
        np.add.at(dx[p].reshape(-1), at[p].astype(int).ravel(), g[p].ravel())
    x, g, indices = (lying(a, last) for a in (x, g, at.astype(np.int64)))

    def made(a, dtype=np.float32):
        return Made(a.shape, dtype, last)

    yield Call("max_pool2d", "max_pool2d", rung, [made(y), made(at, np.int64), x, *KERNEL, *STRIDE, *PADDING, *DILATION], [y, at], [0, 0])
    windows = reach(9, y.shape[2], 0) + reach(6, y.shape[3], 1)
    yield Call("pool_scatter", "pool_scatter", rung, [made(dx), g, indices, *windows], [dx], [0])
    if not last:
        yield Call("pool_gather", "pool_gather", rung, [made(y), x, indices], [y], [0])


def lying(a, channels_last):
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if channels_last else a


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", ["v00_direct", "v01_channels_last"])
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
