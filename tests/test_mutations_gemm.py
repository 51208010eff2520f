"""Bugs planted in gemv, split-K and the epilogue: does the emulator show them? What counts as that is said in tests/planted.py."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import planted
import pytest
from planted import ORDERS, Call, Made
from test_mutations_matmul import SHAPES

from tensorgrad.ops.shared.activation import ACTIVATIONS

pytestmark = planted.pytestmark

# (rung, or rung/header, what is wrong with it, the text, what stands in its place, which occurrence)
MUTANTS = [
    ("gemv", "the tail of K is added twice", "for (int k = packs * Q + lane;", "for (int k = lane;", 1),
    ("gemv", "half a warp adds up", "int other = 16;", "int other = 8;", 1),
    ("gemv", "the second vector is the first", "&p.B(at * Q, tile.column + v)", "&p.B(at * Q, tile.column)", 1),
    ("gemv", "no barrier before the parts are added", "__syncthreads();", "", 1),
    ("gemv", "the last warp's part is missing", "w < WARPS; ++w", "w < WARPS - 1; ++w", 1),
    ("gemv", "packs at any stride", "other % COUNT == 0 &&", "", 1),
    ("gemv", "the addends are not transposed", "epilogue.C0 = epilogue.C0.transposed();", "", 1),
    ("split_k", "the parts overlap", "begin + parts.length)", "begin + parts.length + 1)", 1),
    ("split_k", "the parts overlap, 16 bits", "begin + parts.length)", "begin + parts.length + 1)", 2),
    ("split_k", "the last part is left out", "s < count", "s < count - 1", 1),
    ("split_k", "all parts in one place", "blockIdx.y * parts.size + ", "", 1),
    ("split_k", "parts begin anywhere", "ceil_div(ceil_div(p.K, count), STEP) * STEP", "ceil_div(p.K, count)", 1),
    ("split_k", "no barrier before the next loads", "__syncthreads();", "", 2),
    ("split_k", "the wait lets one copy too many be late", "cp_async_wait<STAGES - 2>", "cp_async_wait<STAGES - 1>", 1),
    ("v07_double_buffered/epilogue", "no alpha", "sum *= alpha;", "", 1),
    ("v07_double_buffered/epilogue", "no beta", "beta * Sum(C0(row, column))", "Sum(C0(row, column))", 1),
    ("v07_double_buffered/epilogue", "the bias of the neighbour", "Sum(bias(row, column))", "Sum(bias(row, column + 1))", 1),
    ("v07_double_buffered/epilogue", "relu the other way", "x < 0 ? S(0) : x", "x > 0 ? S(0) : x", 1),
    ("v08_tensor_core/epilogue", "gelu's cubic term", "0.0713", "0.713", 1),
    ("v09_hopper/epilogue", "steps along dimensions of one", "varies ? a.strides[i] : 0", "i >= 0 ? a.strides[i] : 0", 1),
]
SKINNY = [(1, 300, 264, "NN"), (130, 3, 35, "NN"), (257, 1, 130, "TN"), (5, 70, 300, "NT"), (64, 2, 264, "NT")]  # (M, N, K, layout)
DEEP = [(33, 65, 530, "NN"), (20, 136, 264, "TN"), (17, 9, 1000, "NT")]
FP32, BF16 = (np.float32, 1e-6), (ml_dtypes.bfloat16, 8e-3)  # dtype, tolerance


def texts(rung, *bug):
    return planted.texts_of(f"matmul/{rung}", *bug)


def calls(rung):
    rung = rung.partition("/")[0]
    if rung.startswith("v"):
        yield from gemms(rung, SHAPES, BF16 if rung >= "v08" else FP32)
    else:
        for dtype in (FP32, BF16):
            yield from gemms(rung, SKINNY if rung == "gemv" else DEEP, dtype)


def gemms(rung, shapes, dtype):
    """0.5 A B - 2 C0 + bias and each activation of it: C0 a column, bias one per column; room for three parts of K."""
    dtype, tolerance = dtype
    for i, (m, n, k, layout) in enumerate(shapes):
        rng = np.random.default_rng(m)
        a, b, c0, bias = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (m, 1), (1, n)))
        a, b = (np.asfortranarray(x) if way == "T" else x for x, way in zip((a, b), layout, strict=True))
        total = 0.5 * (a.astype(np.float64) @ b.astype(np.float64)) - 2 * c0.astype(np.float64) + bias.astype(np.float64)
        for activation, f in enumerate(ACTIVATIONS.values()):
            arguments = [Made((m, n), dtype), a, b, c0, bias, 0.5, -2.0, activation, Made((3, m * n), np.float32)]
            yield Call(f"{m} x {n} x {k} {layout}, activation {activation}", "gemm", rung, arguments, [f.reference(total)],
                       [tolerance * np.linalg.norm(total)], (ORDERS[(i + activation) % 3],), recorded=i == activation == 0)


def test_planted_bugs_are_caught(build):
    assert planted.missed(build, MUTANTS, texts, calls) == []


@pytest.mark.parametrize("rung", sorted({m[0] for m in MUTANTS}))
def test_the_rungs_themselves_pass(build, rung):
    assert planted.examined(build(texts(rung)), calls(rung)) == [None, None]
