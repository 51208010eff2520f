"""Every rung of the softmax ladder, on the emulator: ragged rows of any length against float64, forward and backward.

Inputs end at pages nobody may touch, outputs start as NaN, and the order of threads is shuffled by three seeds.
"""
from __future__ import annotations

import zlib

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.ops.shared.rows import sliced

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
OPS = ("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")
RUNGS = [(op, k, name) for op in OPS for _, k in sorted(dispatch.kernels_of("emu")[op].items()) if k.family == "cuda"
         for name in sorted(k.dtypes)]
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}  # of one rounding, about
SHAPES = [((1, 1), 1), ((3, 31), 1), ((5, 32), 1), ((2, 100), 1), ((4, 257), 1), ((2, 520), 1), ((33, 3), 1), ((2, 3, 5), 1),
          ((3, 40, 37), 1), ((70, 33), 0), ((0, 4), 1), ((4, 0), 1)]
LONG = [((2, 1500), 1), ((1, 9001), 1), ((1, 16640), 1)]  # beyond a warp, and beyond what a block holds


@pytest.fixture(params=[(0, False), (1, True), (2, False), (3, True)], ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


def rung_id(a):
    return f"{a.op}-{a.path}" if isinstance(a, dispatch.Kernel) else a


def inputs(op, rng, shape, name, spread=3.0):
    """Scores; backward a gradient and the output it belongs to, rounded to the dtype."""
    x = spread * rng.standard_normal(shape)
    if not op.endswith("_backward"):
        return (x.astype(NUMPY[name]),)
    y = -np.abs(x) if op.startswith("log") else np.abs(x) / 10
    return rng.standard_normal(shape).astype(NUMPY[name]), y.astype(NUMPY[name])


def check(op, kernel, name, shape, dim, arrays):
    out = emu.xp.empty(shape, NUMPY[name])
    kernel.call(out, *arrays, *sliced(shape, dim))
    want = dispatch._ops[op].reference(*[a.astype(np.float64) for a in arrays], dim)
    error = np.linalg.norm(out.astype(np.float64) - want) / (np.linalg.norm(want) or 1)
    limit = TOLERANCE[name] * max(1, shape[dim] / 1000)  # the bound of a sum's error grows with its terms
    assert error <= limit, f"{shape} along {dim}: relative error {error:.3g}"


@pytest.mark.parametrize(("op", "kernel", "name"), RUNGS, ids=rung_id)
def test_shapes(op, kernel, name, order):
    rng = np.random.default_rng(zlib.crc32(f"{op} {kernel.path} {name}".encode()) + order[0])
    for shape, dim in SHAPES + (LONG if order[0] == 1 and name in ("float32", "float64") else []):
        check(op, kernel, name, shape, dim, inputs(op, rng, shape, name))


@pytest.mark.parametrize(("op", "kernel", "name"), RUNGS, ids=rung_id)
def test_fuzz(op, kernel, name):
    rng = np.random.default_rng(zlib.crc32(f"fuzz {op} {kernel.path} {name}".encode()))
    for _ in range(6):
        limits = (50, 50, 50) if rng.random() < 0.5 else (9, 900)
        shape = tuple(int(rng.integers(1, limit)) for limit in limits)
        arrays = inputs(op, rng, (2, *shape), name, spread=30.0)
        check(op, kernel, name, shape, 1, [a[1] for a in arrays])  # starts anywhere: often not at a multiple of 16 bytes


@pytest.mark.parametrize("kernel", [r[1] for r in RUNGS if r[0] in OPS[:2] and r[2] == "float32"], ids=rung_id)
@pytest.mark.parametrize("shape", [(6, 70), (6, 9000), (6, 70, 2)])
def test_infinity_and_nan_stay_in_their_rows(kernel, shape):
    x = np.zeros(shape, np.float32)
    x[1, 3], x[2, 5], x[3, :], x[4, ::2] = np.nan, np.inf, -np.inf, -np.inf
    out = emu.xp.empty(shape, np.float32)
    kernel.call(out, x, *sliced(shape, 1))
    assert np.isnan(out[1:4]).all()
    want = dispatch._ops[kernel.op].reference(x[[0, 4, 5]].astype(np.float64), 1)
    np.testing.assert_allclose(out[[0, 4, 5]], want, rtol=2e-6)


@pytest.mark.parametrize("kernel", [r[1] for r in RUNGS if r[2] == "float32"], ids=rung_id)
def test_the_same_bits_in_any_order(kernel):
    arrays, made = inputs(kernel.op, np.random.default_rng(0), (3, 700), "float32"), []
    for seed, threads in ((0, 1), (5, 1), (7, 2)):
        emu.configure(seed=seed, threads=threads)
        made.append(emu.xp.empty((3, 700), np.float32))
        kernel.call(made[-1], *arrays, 3, 700, 1)
    emu.configure(seed=0, threads=0)
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


@pytest.mark.parametrize(("shape", "dim", "path"), [((4, 50), 1, "cuda/v03_online"), ((4, 50), 0, "cuda/v04_columns"),
                                                    ((2, 1, 5), 1, "cuda/v04_columns"), ((1, 8200), 1, "cuda/v05_cluster")])
def test_the_default_rung_fits_the_dimension(shape, dim, path, monkeypatch):
    ran = set()
    original = dispatch.choose
    monkeypatch.setattr(dispatch, "choose", lambda op, *a: (k := original(op, *a), ran.add((op.name, k.path)))[0])
    dispatch._forget_choices()
    x = tg.tensor(np.random.default_rng(0).standard_normal(shape), device="emu", requires_grad=True)
    tg.softmax(x, dim).log().sum().backward()
    dispatch._forget_choices()
    assert {("softmax", path), ("softmax_backward", path)} <= ran


CROSS_ENTROPY = sorted(path for path, k in dispatch.kernels_of("emu")["cross_entropy_labels"].items() if k.family == "cuda")


@pytest.mark.parametrize("path", sorted({k.path for _, k, _ in RUNGS}) + CROSS_ENTROPY)
def test_free_of_races(path, order):
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(order[0])
    with tg.kernels.use("*", path), tg.lab.record(metrics=False, check=False) as report:
        for shape in ((5, 70), (1, 1100), (2, 9, 7), *([(1, 16500)] if "cluster" in path and order[0] == 0 else [])):
            x = tg.tensor(rng.standard_normal(shape).astype(np.float32), device="emu").requires_grad_()
            (tg.softmax(x, 1) * tg.log_softmax(x, 1)).sum().backward()
            labels = tg.tensor(rng.integers(0, shape[1], (shape[0], *shape[2:])), device="emu")
            F.cross_entropy(x, labels, label_smoothing=0.1).backward()
    assert path in {call.kernel for call in report.calls}
    assert report.races == []


@pytest.mark.parametrize("name", sorted(NUMPY))
@pytest.mark.parametrize("path", CROSS_ENTROPY)
def test_cross_entropy(path, name, order):
    """Ragged numbers of classes, weights, smoothing and ignored labels against float64 on the processor, values and gradients."""
    rng = np.random.default_rng(order[0])
    for shape in ((1, 1), (5, 3), (9, 37), (3, 1100), (4, 5, 7), (2, 40, 3, 3)):
        x, w = 3 * rng.standard_normal(shape).astype(NUMPY[name]), rng.uniform(0.5, 2, shape[1]).astype(NUMPY[name])
        t = rng.integers(0, shape[1], (shape[0], *shape[2:]))
        t.reshape(-1)[1:3] = -100
        for weight, smoothing, how in ((None, 0.0, "mean"), (w, 0.0, "sum"), (None, 0.3, "none"), (w, 0.1, "mean")):
            made = []
            for device, kind in (("emu", NUMPY[name]), ("cpu", np.float64)):
                leaf, labels = tg.tensor(x.astype(kind), device=device).requires_grad_(), tg.tensor(t, device=device)
                given = None if weight is None else tg.tensor(w.astype(kind), device=device)
                with tg.kernels.use("*", path):
                    loss = F.cross_entropy(leaf, labels, given, reduction=how, label_smoothing=smoothing)
                    loss.sum().backward()
                made.append([a.numpy().astype(np.float64) for a in (loss.detach(), leaf.grad)])
            for got, want in zip(*made, strict=True):
                error = np.linalg.norm(got - want) / max(np.linalg.norm(want), 0.1)  # with one class everything cancels
                assert error <= 2 * TOLERANCE[name], f"{shape}, smoothing {smoothing}: relative error {error:.3g}"


def moved(call):
    """Bytes of global memory that a call's launches move."""
    return sum(32 * line.sectors for launch in call.launches for line in launch.lines if line.space == "global")


@pytest.mark.parametrize("shape", [(16, 1024), (1, 12288)])
def test_the_rungs_of_choice_move_the_least_bytes(shape):
    """Rows that a block holds, and a row for a cluster: softmax and cross-entropy, forward and backward."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(0)
    x, g = (tg.tensor(rng.standard_normal(shape).astype(np.float32), device="emu") for _ in range(2))
    x.requires_grad_()
    with tg.lab.record(races=False) as report:
        tg.softmax(x, 1).backward(g)
        tg.log_softmax(x, 1).backward(g)
        F.cross_entropy(x, tg.tensor(rng.integers(0, shape[1], shape[0]), device="emu")).backward()
    calls = {c.op: c for c in report.calls}
    for op in (*OPS, "cross_entropy_labels", "cross_entropy_labels_backward"):
        assert calls[op].check.status == "right", op
        assert moved(calls[op]) <= 1.1 * calls[op].least_bytes, op


def test_loss_and_gradient_of_a_long_row_read_it_once():
    """One read and one write of the scores, beside the products."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    classes = 12288
    rng = np.random.default_rng(0)
    x, w = (tg.tensor(rng.standard_normal(s).astype(np.float32), device="emu") for s in ((1, 4), (classes, 4)))
    with tg.lab.record(races=False, check=False) as report:
        F.linear_cross_entropy(x.requires_grad_(), w, tg.tensor([7], device="emu"))
    (call,) = [c for c in report.calls if c.op == "linear_cross_entropy"]
    (launch,) = [k for k in call.launches if "cross_entropy_cluster" in k.kernel]
    assert sum(32 * line.sectors for line in launch.lines if line.space == "global") <= 1.1 * 2 * 4 * classes
