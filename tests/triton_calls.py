"""Calls of the Triton kernels: what is compiled ahead of time, launched on the stub driver and held to a budget.

By op, or by op and rung where a rung takes more. Arrays here are NumPy's memory with an address where CuPy keeps it. A call is written as
the op's kernels take it; T stands for the rung's dtype.
"""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np

T = object()


class GpuArray(np.ndarray):
    """A NumPy array that shows its address as CuPy's do."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


def array(*shape, dtype=T, offset=0):
    """An array of a call: made when its dtype is known. `offset` in elements from where memory is aligned."""
    return lambda kind: aligned(shape, kind if dtype is T else np.dtype(dtype), offset)


def aligned(shape, dtype, offset=0):
    """An array that starts at a multiple of 512 bytes, as CuPy's do, or `offset` elements later."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 1024 + offset * np.dtype(dtype).itemsize, np.uint8)
    start = -memory.__array_interface__["data"][0] % 512 + offset * np.dtype(dtype).itemsize
    return memory[start:start + size].view(dtype).reshape(shape).view(GpuArray)


def made(call, dtype):
    """The arguments of a call for a rung's dtype."""
    return [a(np.dtype(dtype)) if callable(a) else a for a in call]


ROWS, LONG, COLUMNS = (64, 1000, 1), (4, 20000, 1), (2, 100, 50)


def _rows(inputs, *sizes):
    return [[*[array(outer, n, inner)] * (1 + inputs), outer, n, inner] for outer, n, inner in sizes]


def turned(*shape):
    """A matrix by columns: the other way around in memory."""
    return lambda kind: array(*shape[::-1])(kind).T


M, N, K = 512, 384, 256
PRODUCT = [array(M, N), array(M, K), array(K, N)]
AFTER = [array(M, N), array(N), 0.5, 2.0, 2]
PARTS = array(4, M * N, dtype=np.float32)
PRODUCTS = [PRODUCT, [array(M, N), turned(M, K), turned(K, N)]]
RAGGED = [array(2, 3, 100, 70), array(2, 1, 100, 50), array(3, 50, 70)]



def wide(*shape):
    """Statistics, in float64."""
    return array(*shape, dtype=np.float64)


NORMED = [(64, 1000), (4, 20000)]



def attention(d, causal, masked=False):
    """The arguments of attention with 4 heads on 2 of keys: forward."""
    mask = [array(2, 4, 150, 200, dtype=np.bool_)] if masked else [None]
    q, k = (2, 4, 150, d), (2, 2, 200, d)
    return [array(*q), wide32(2, 4, 150), array(*q), array(*k), array(*k), *mask, causal, 0.125, 0, 0, 2**32, 1.0]


def attention_backward(d, causal):
    """The same backward."""
    q, k = (2, 4, 150, d), (2, 2, 200, d)
    arrays = [array(*shape) for shape in (q, q, k, k, q)]
    return [array(*q), array(*k), array(*k), wide32(100000), *arrays, wide32(2, 4, 150), None, causal, 0.125, 0, 0, 2**32, 1.0]


def wide32(*shape):
    """Statistics of halves."""
    return array(*shape, dtype=np.float32)


CALLS = {
    "attention": [attention(64, 0), attention(128, 1), attention(64, 0, masked=True)],
    "attention_backward": [attention_backward(64, 0), attention_backward(128, 1)],
    "attention_backward v01_flash": [attention_backward(64, 0)],
    "layer_norm": [[array(r, n), wide(r), wide(r), array(r, n), array(n), array(n), 1e-5] for r, n in NORMED],
    "rms_norm": [[array(r, n), wide(r), array(r, n), array(n), 1e-5] for r, n in NORMED],
    "norm_backward": [[array(r, n), array(n), array(n), wide(3, 2, n), array(r, n), array(r, n), array(n), wide(r), wide(r)]
                      for r, n in NORMED],
    "matmul": PRODUCTS,
    "matmul v07_double_buffered": [*PRODUCTS, RAGGED],
    "gemm": [[*PRODUCT, *AFTER]],
    "matmul split_k": [[*PRODUCT, PARTS]],
    "gemm split_k": [[*PRODUCT, *AFTER, PARTS]],
    "softmax": _rows(1, ROWS, LONG, COLUMNS),
    "log_softmax": _rows(1, ROWS, LONG, COLUMNS),
    "softmax_backward": _rows(2, ROWS, LONG, COLUMNS),
    "log_softmax_backward": _rows(2, ROWS, LONG, COLUMNS),
}


def calls_of(op, path):
    """Those of a rung."""
    return CALLS.get(f"{op} {path.partition('/')[2]}") or CALLS[op]
