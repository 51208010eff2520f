"""Every rung of the reductions on the device `emu`, against the CPU in float64: shapes, dims, strides, dtypes, thread orders, NaN.

Nothing here names a rung: a file in csrc/cuda/reduce is tested by being there.
"""
from __future__ import annotations

import zlib

import numpy as np
import pytest
from sampling import relative_error

import tensorgrad as tg
from tensorgrad import dispatch

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)

KERNELS = [k for table in dispatch.kernels_of("emu").values() for k in table.values() if "cuda/reduce" in k.source]
RUNGS = sorted({k.path for k in KERNELS})
ONE_DIM = ("prod", "argmax", "argmin", "max_along", "min_along")  # ops that take one dim, not several
PLACES = ("argmax", "argmin")
TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
# Short and long rows, columns, dims that merge and that do not, nothing to add, nothing to make.
SHAPES = [((7,), (0,)), ((3, 1000), (1,)), ((65, 37), (0,)), ((4, 5, 6), (0, 2)), ((2, 3, 4, 5), (1, 2)), ((33, 9), (0, 1)), ((0, 3), (0,)),
          ((3, 0), (0,)), ((5, 1, 3), (1,)), ((2, 515), (1,)), ((1, 40000), (1,)), ((20000, 3), (0,)), ((17000, 9), (0,)),
          ((300, 2, 70), (0, 2))]


def by_kernel(kernels):
    return pytest.mark.parametrize("kernel", kernels, ids=[f"{k.op}-{k.rung}" for k in kernels])


def answers(kernel, x, dim, keepdim=False, device="emu"):
    """What an op gives for an array, as arrays."""
    op = dispatch._ops[kernel.op]
    result = op.call(tg.from_numpy(x).to(device), dim, keepdim=keepdim)
    return [t.numpy() for t in (result if isinstance(result, tuple) else (result,))]


def dim_for(kernel, dims):
    return dims[0] if kernel.op in ONE_DIM else list(dims)


def check(kernel, x, dims, keepdim=False):
    """The kernel's answer is that of the CPU in float64."""
    dim = dim_for(kernel, dims)
    floats = x.dtype.kind not in "iub"
    with np.errstate(all="ignore"):
        want = answers(kernel, x.astype(np.float64) if floats else x, dim, keepdim, "cpu")
    one_by_one = kernel.op == "prod" or "thread_per_output" in kernel.path  # roundings of all elements of a result come together
    chain = x.size / max(1, want[0].size) * np.finfo(np.float32).eps / 4 if one_by_one and x.dtype == np.float32 else 0
    with tg.kernels.use(kernel.op, kernel.path):
        got = answers(kernel, x, dim, keepdim)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        if not floats or w.dtype.kind in "ib" or kernel.op in ("amax", "amin", "max_along", "min_along"):
            np.testing.assert_array_equal(g.astype(w.dtype), w)
        else:
            with np.errstate(over="ignore"):
                assert relative_error(g, w.astype(g.dtype) if g.dtype.itemsize == 2 else w) <= TOLERANCE[x.dtype.name] + chain


def numbers(kernel, shape, dtype, rng):
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype not in TOLERANCE:
        return np.asarray(rng.integers(0 if dtype == "uint8" else -9, 9, shape)).astype(dtype)
    if kernel.op == "prod":
        return rng.uniform(0.99, 1.01, shape).astype(getattr(tg, dtype).np)
    return rng.uniform(-1, 2, shape).astype(getattr(tg, dtype).np)


@by_kernel(KERNELS)
def test_shapes_and_dims(kernel):
    rng = np.random.default_rng(zlib.crc32(f"{kernel.op} {kernel.path}".encode()))
    for i, (shape, dims) in enumerate(SHAPES):
        if 0 in [shape[d] for d in dims] and kernel.op not in ("sum", "mean", "prod", "any", "all"):
            continue  # an extremum of nothing is an error before any kernel
        emu.configure(seed=i % 3)
        check(kernel, numbers(kernel, shape, "float32", rng), dims, keepdim=bool(i % 2))
    emu.configure(seed=0)


@pytest.mark.parametrize(("kernel", "dtype"), [(k, d) for k in KERNELS for d in sorted(k.dtypes - {"float32"})],
                         ids=lambda a: a if isinstance(a, str) else f"{a.op}-{a.rung}")
def test_every_dtype(kernel, dtype):
    rng = np.random.default_rng(zlib.crc32(f"{kernel.op} {kernel.path} {dtype}".encode()))
    for shape, dims in (((5, 61), (1,)), ((40, 19), (0,)), ((3, 2, 700), (2,))):
        check(kernel, numbers(kernel, shape, dtype, rng), dims)


@by_kernel(KERNELS)
def test_memory_layouts(kernel):
    rng = np.random.default_rng(zlib.crc32(f"layouts {kernel.op} {kernel.path}".encode()))
    x = numbers(kernel, (12, 30, 5), "float32", rng)
    for a in (x.transpose(2, 0, 1), x[::-1], x[:, ::3], x[:, 1:], x.reshape(-1)[1:1401].reshape(7, 200), np.broadcast_to(x[:1], x.shape)):
        for dim in range(a.ndim):
            check(kernel, a, (dim,))


@by_kernel([k for k in KERNELS if k.op not in ("var", "std", "prod")])
def test_not_a_number_infinity_and_equal_elements(kernel):
    x = np.zeros((8, 700), np.float32)
    x[1, 5] = x[1, 600] = np.nan
    x[2, 3] = np.inf
    x[3, 4] = -np.inf
    x[4, 2], x[4, 1] = np.inf, -np.inf
    x[5, 0] = x[5, 650] = 7
    x[6, 699] = np.nan
    x[7, 100] = -0.0
    check(kernel, x, (1,))
    check(kernel, x.T, (0,))


@by_kernel([k for k in KERNELS if k.op in ("sum", "mean", "var", "std")])
def test_long_sums_keep_their_precision_and_their_bits(kernel):
    """Rounding errors do not add up beyond what the rung's order makes of them, and every order of threads agrees."""
    x = np.random.default_rng(3).uniform(0, 1, 200_000).astype(np.float32)
    got = []
    with tg.kernels.use(kernel.op, kernel.path):
        for seed in (0, 1, 2):
            emu.configure(seed=seed)
            got.append(answers(kernel, x, 0)[0])
    emu.configure(seed=0)
    assert got[0].tobytes() == got[1].tobytes() == got[2].tobytes()
    want = answers(kernel, x.astype(np.float64), 0, device="cpu")[0]
    assert abs(got[0] - want) / want <= (1e-3 if "thread_per_output" in kernel.path else 1e-6)


def test_no_workspace_no_parts():
    """Without a workspace a long row is one block's."""
    kernel = next(k for k in KERNELS if k.op == "sum" and k.path == RUNGS[-1])
    x, y = np.ones((1, 50_000), np.float32), np.empty((1, 1), np.float32)
    kernel.call(y, x, None)
    assert y[0, 0] == 50_000
