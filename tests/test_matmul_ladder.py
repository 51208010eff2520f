"""Every rung of the matmul ladder, on the emulator: ragged shapes, layouts and batches against float64.

Inputs end at pages nobody may touch, outputs start as NaN, thread order is shuffled by three seeds, and asynchronous work is done
both at once and as late as is legal.
"""
from __future__ import annotations

import zlib

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.ops.shared.activation import ACTIVATIONS

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
KERNELS = {path: k for path, k in dispatch.kernels_of("emu")["matmul"].items() if k.family == "cuda"}
GEMM = {path: k for path, k in dispatch.kernels_of("emu")["gemm"].items() if k.family == "cuda"}  # rungs with an epilogue
RUNGS = [(path, name) for path, k in sorted(KERNELS.items()) for name in sorted(k.dtypes)]
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3, "tf32": 1e-3}  # of one rounding, about

SHAPES = [(1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 129, 7), (129, 1, 3), (16, 16, 16), (33, 65, 17), (64, 128, 64), (130, 127, 35),
          (5, 9, 300), (264, 520, 200), (257, 513, 65)]  # (M, N, K); the last two are several tiles for each of the persistent blocks
LAYOUTS = ("NN", "NT", "TN", "TT", "gaps")


@pytest.fixture(params=[(0, False), (1, True), (2, False), (3, True)], ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


def operand(rng, shape, dtype, layout):
    """A random matrix (or batch) in a dtype and memory layout: N as it is, T column by column, with gaps between elements."""
    a = rng.standard_normal(shape).astype(dtype)
    if layout == "T":
        return np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "gaps":
        wide = np.full((*shape[:-1], 3 * shape[-1]), np.nan, dtype)
        wide[..., ::3] = a
        return wide[..., ::3]
    return a


def check(path, name, a, b):
    out = emu.xp.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), NUMPY[name])
    KERNELS[path].call(out, a, b)
    want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    error = np.linalg.norm(out.astype(np.float64) - want) / (np.linalg.norm(want) or 1)
    assert error <= TOLERANCE["tf32" if path.endswith("tf32") else name], f"relative error {error:.3g}"


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_shapes_and_layouts(path, name, order):
    rng = np.random.default_rng(zlib.crc32(f"{path} {name}".encode()) + order[0])
    for i, (m, n, k) in enumerate(SHAPES):
        layout = LAYOUTS[(i + order[0]) % len(LAYOUTS)]
        left, right = (layout, layout) if layout == "gaps" else layout
        check(path, name, operand(rng, (m, k), NUMPY[name], left), operand(rng, (k, n), NUMPY[name], right))


def check_tf32_rounding(multiply):
    """That operands are rounded to nearest tf32, halves to even, and alike by TMA (k-fastest ones) and by hand (the others)."""
    rng = np.random.default_rng(5)
    half = np.uint32(1 << 12)
    a, b = ((rng.standard_normal(shape).astype(np.float32).view(np.uint32) & ~(2 * half - 1) | half).view(np.float32)
            for shape in ((40, 64), (64, 72)))  # in the middle of two tf32, where a wrong rounding shows
    assert multiply(a, np.asfortranarray(b)).tobytes() == multiply(np.asfortranarray(a), b).tobytes()
    odd = (a.view(np.uint32) & 2 * half).astype(bool)  # these go away from zero, the others towards it
    rounded = np.where(odd, a.view(np.uint32) + half, a.view(np.uint32) - half).view(np.float32)
    np.testing.assert_array_equal(multiply(a, np.eye(64, dtype=np.float32)), rounded)


def test_tf32_of_hopper_is_rounded_to_nearest():
    def multiply(a, b):
        out = emu.xp.empty((a.shape[0], b.shape[1]), np.float32)
        KERNELS["cuda/v09_hopper_tf32"].call(out, a, b)
        return out

    check_tf32_rounding(multiply)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_fuzz(path, name):
    rng = np.random.default_rng(zlib.crc32(f"fuzz {path} {name}".encode()))
    for _ in range(8):
        m, n, k = rng.integers(1, 150, 3)
        left, right = rng.choice(["N", "T"], 2)
        a, b = operand(rng, (m, k + 8), NUMPY[name], left), operand(rng, (k, n + 8), NUMPY[name], right)
        i, j = rng.integers(0, 9, 2)  # a piece of a larger matrix: its rows start anywhere
        check(path, name, a[:, i:i + k], b[:, j:j + n])


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_batches(path, name):
    rng = np.random.default_rng(1)
    for left, right in (((3,), (3,)), ((2, 1), (3,)), ((1,), (4,)), ((), (2,)), ((0,), (1,)), ((2, 3, 1, 2), (3, 2, 1))):
        a, b = operand(rng, (*left, 9, 20), NUMPY[name], "N"), operand(rng, (*right, 20, 11), NUMPY[name], "T")
        check(path, name, a, b)


@pytest.mark.parametrize(("path", "name"), RUNGS)
def test_nan_and_infinity_stay_in_their_rows(path, name):
    a, b = np.ones((40, 24), NUMPY[name]), np.ones((24, 40), NUMPY[name])
    a[3, 5], a[7, 2] = np.nan, np.inf
    out = emu.xp.empty((40, 40), NUMPY[name])
    KERNELS[path].call(out, a, b)
    out = out.astype(np.float64)
    assert np.isnan(out[3]).all()
    assert np.isposinf(out[7]).all()
    assert (np.delete(out, [3, 7], 0) == 24).all()


SIDE = [(path, name) for path, name in RUNGS if path in ("cuda/gemv", "cuda/split_k")]  # of few rows, columns or tiles


@pytest.mark.parametrize(("path", "name"), SIDE)
def test_skinny_shapes(path, name, order):
    rng = np.random.default_rng(zlib.crc32(f"skinny {path} {name}".encode()) + order[0])
    for i, (m, n, k) in enumerate([(1, 300, 64), (257, 1, 129), (4, 130, 33), (70, 5, 260), (9, 9, 1000), (8, 8, 31)]):
        layout = LAYOUTS[(i + order[0]) % len(LAYOUTS)]
        left, right = (layout, layout) if layout == "gaps" else layout
        check(path, name, operand(rng, (m, k), NUMPY[name], left), operand(rng, (k, n), NUMPY[name], right))
        check(path, name, operand(rng, (2, m, k), NUMPY[name], left), operand(rng, (k, n), NUMPY[name], right))
    row = operand(rng, (1, 700), NUMPY[name], "N")
    check(path, name, row, row.T)  # one number, and no cancellation in it


@pytest.mark.parametrize(("path", "name"), SIDE)
def test_the_same_bits_in_any_order_of_threads(path, name):
    rng = np.random.default_rng(3)
    a, b = operand(rng, (40, 900), NUMPY[name], "N"), operand(rng, (900, 7), NUMPY[name], "N")
    results = []
    for seed, threads in ((0, 1), (1, 2), (2, 3)):
        emu.configure(seed=seed, threads=threads)
        results.append(emu.xp.empty((40, 7), NUMPY[name]))
        KERNELS[path].call(results[-1], a, b)
    emu.configure(seed=0, threads=0)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
@pytest.mark.parametrize("parts", [1, 2, 5, 64])
def test_any_number_of_parts_of_k(parts, name):
    rng = np.random.default_rng(parts)
    split_k = next(call for op, path, _, _, _, call, *_ in emu.ext.kernels() if (op, path) == ("matmul", "cuda/split_k"))
    for k in (0, 1, 31, 33, 160, 500):
        a, b = operand(rng, (2, 17, k), NUMPY[name], "N"), operand(rng, (2, k, 70), NUMPY[name], "T")
        out = emu.xp.empty((2, 17, 70), NUMPY[name])
        split_k(out, a, b, emu.xp.empty((parts, out.size), np.float32))
        want = a.astype(np.float64) @ b.astype(np.float64)
        assert np.linalg.norm(out.astype(np.float64) - want) <= TOLERANCE[name] * (np.linalg.norm(want) or 1)
    for wrong in (None, np.empty((parts, out.size - 1), np.float32), np.empty((parts, out.size)), np.empty(out.size, np.float32)):
        with pytest.raises(ValueError, match=r"matmul \(cuda/split_k\): the workspace must be a float32 array"):
            split_k(out, a, b, wrong)


ADDENDS = [((), None), (("N",), None), (None, ("N",)), (("M", "N"), ("M", 1)), (("M", 1), ("N",)), ((1, "N"), (1, 1))]  # C0, bias


def after(rng, name, c0, bias, size):
    """Random addends whose shapes are given by names of dimensions."""
    return [None if s is None else operand(rng, tuple(size.get(d, d) for d in s), NUMPY[name], "N") for s in (c0, bias)]


def check_gemm(path, name, a, b, c0, bias, alpha, beta, activation):
    out = emu.xp.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), NUMPY[name])
    GEMM[path].call(out, a, b, c0, bias, alpha, beta, activation)
    wide = [None if x is None else x.astype(np.float64) for x in (a, b, c0, bias)]
    total = dispatch._ops["gemm"].reference(*wide, alpha, beta)
    want = list(ACTIVATIONS.values())[activation].reference(total)
    # An activation shrinks the sum more than its error (slopes are at most 1.13): the error is judged against the sum.
    error = np.linalg.norm(out.astype(np.float64) - want) / (np.linalg.norm(total) or 1)
    assert error <= TOLERANCE["tf32" if path.endswith("tf32") else name], f"relative error {error:.3g}"


@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=list(ACTIVATIONS))
@pytest.mark.parametrize(("path", "name"), [(path, name) for path, k in sorted(GEMM.items()) for name in sorted(k.dtypes)])
def test_alpha_beta_bias_activation(path, name, activation):
    rng = np.random.default_rng(zlib.crc32(f"{path} {name}".encode()) + activation)
    for (m, n, k), shapes in zip([(1, 1, 1), (33, 65, 17), (130, 127, 35), (5, 9, 300), (129, 1, 3), (2, 130, 0)], ADDENDS, strict=True):
        a, b = operand(rng, (m, k), NUMPY[name], "N"), operand(rng, (k, n), NUMPY[name], "T")
        check_gemm(path, name, a, b, *after(rng, name, *shapes, {"M": m, "N": n}), 0.75, -1.5, activation)
    a, b = operand(rng, (2, 1, 9, 20), NUMPY[name], "T"), operand(rng, (3, 20, 11), NUMPY[name], "N")  # batches, and addends of some
    check_gemm(path, name, a, b, *after(rng, name, (3, 1, 11), (2, 1, 9, 1), {}), 2.0, 0.5, activation)
    check_gemm(path, name, a, b, *after(rng, name, (2, 3, 9, 11), None, {}), 1.0, 1.0, activation)


@pytest.mark.parametrize("path", sorted(GEMM))
def test_a_gelu_is_exact_in_its_tail_and_not_a_number_stays_one(path):
    name = sorted(GEMM[path].dtypes)[0]
    x = np.array([[-30, -9, -5, -1, -0.25, 0, 0.25, 1, 5, 9, 30, np.nan]], NUMPY[name])
    for activation, f in enumerate(ACTIVATIONS.values()):
        out = emu.xp.empty(x.shape, NUMPY[name])
        GEMM[path].call(out, np.ones((1, 1), NUMPY[name]), x, None, None, 1.0, 0.0, activation)
        np.testing.assert_allclose(out.astype(np.float64), f.reference(x.astype(np.float64)), rtol=0.01, atol=1e-7)


def test_what_cannot_be_computed_is_refused_before_the_launch():
    deep = np.ones((1, 1, 1, 1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match="5 batch dimensions are more than 4"):
        KERNELS["cuda/v00_naive"].call(np.empty_like(deep), deep, deep)
    x = tg.ones(2, 2, dtype=tg.int64, device="emu")
    with tg.kernels.use("matmul", "cuda/v00_naive"), pytest.raises(NotImplementedError, match="does not compute int64"):
        tg.matmul(x, x)
