"""Every rung of pooling, on the emulator: the ops' own cases, random geometries against loops, gradients, layouts, NaN.

Inputs end at pages nobody may touch, outputs start as NaN, and thread order is shuffled.
"""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from sampling import case_id, outputs, realise, relative_error, rng_for
from test_pooling import by_loops

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.op import fn

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
LADDER = ("max_pool2d", "adaptive_max_pool2d", "pool_scatter", "pool_gather", "resample")
RUNGS = sorted({path for op in LADDER for path, k in dispatch.kernels_of("emu")[op].items() if k.family == "cuda"})
TYPES = ("float32", "float64", "float16", "bfloat16")
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}  # of one rounding, about
OPS = [dispatch._ops[name] for name in (*LADDER, "avg_pool2d", "adaptive_avg_pool2d")]
CASES = [(op, case) for op in OPS for case in op.cases() if case.error is None]


@pytest.fixture(params=[0, 1, 2], ids=lambda seed: f"seed{seed}")
def order(request):
    emu.configure(seed=request.param)
    yield request.param
    emu.configure(seed=0)


@pytest.fixture
def ran(monkeypatch):
    """(op, path) of the kernels chosen for emu."""
    found = set()
    original = dispatch.choose

    def spy(op, device, *args):
        kernel = original(op, device, *args)
        if device.type == "emu":
            found.add((op.name, kernel.path))
        return kernel

    monkeypatch.setattr(dispatch, "choose", spy)
    dispatch._forget_choices()
    return found


def on_emu(a, layout="NCHW"):
    """A tensor on emu, with the channels first or last in memory."""
    if layout == "NHWC" and a.ndim == 4:
        return tg.from_numpy(np.ascontiguousarray(a.transpose(0, 2, 3, 1))).to("emu").permute(0, 3, 1, 2).detach()
    return tg.from_numpy(a).to("emu")


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("pair", CASES, ids=case_id)
def test_the_ops_own_cases(pair, name):
    op, case = pair
    args, kwargs = realise(case, rng_for(op, case), lambda spec, a: a.astype(NUMPY[name]) if spec.dtype == "float" else a)
    want = op.reference(*(a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == NUMPY[name] else a for a in args), **kwargs)
    call = op.call if op.name in LADDER else getattr(F, op.name)
    got = call(*(on_emu(a) if isinstance(a, np.ndarray) else a for a in args), **kwargs)
    for g, w in zip(outputs(got), want if isinstance(want, tuple) else (want,), strict=True):
        assert relative_error(g.numpy(), w) <= TOLERANCE[name]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", ["float32", "float16"])
def test_max_pool2d_on_random_geometries(name, layout, order, ran):
    """Values, indices and gradients, with ties, NaN and -inf; windows that overlap, that leave gaps, that reach over the edge."""
    rng, done = np.random.default_rng(order), 0
    while done < 12:
        x = rng.integers(-2, 3, (2, 8, *rng.integers(1, 14, 2))).astype(NUMPY[name])
        x[x == -2], x[rng.random(x.shape) < 0.03] = -np.inf, np.nan
        kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, high, 2)) for high in (5, 5, 3))
        options = kernel, stride, tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel), dilation, bool(rng.random() < 0.5)
        try:
            fn.max_pool2d(tg.from_numpy(x), *options)
        except RuntimeError:  # the window does not fit, or lies in the padding alone
            continue
        leaf = on_emu(x, layout).requires_grad_()
        y, at = fn.max_pool2d(leaf, *options, return_indices=True)
        g = rng.integers(-3, 4, y.shape).astype(NUMPY[name])  # sums of these are exact
        y.backward(on_emu(g, layout))
        want_dx = np.zeros(x.shape)
        for plane in np.ndindex(2, 8):
            want, want_at = by_loops(x[plane], *options)
            np.testing.assert_array_equal(y.numpy(force=True)[plane].astype(np.float64), want.astype(np.float64))
            np.testing.assert_array_equal(at.numpy()[plane], want_at)
            np.add.at(want_dx[plane].reshape(-1), want_at.ravel(), g[plane].ravel().astype(np.float64))
        np.testing.assert_array_equal(leaf.grad.numpy().astype(np.float64), want_dx)
        done += 1
    rung = "cuda/v01_channels_last" if layout == "NHWC" else "cuda/v00_direct"
    assert ran >= {("max_pool2d", rung), ("pool_scatter", rung)}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", TYPES)
def test_averages_and_gradients(name, layout, order, ran):
    rng = np.random.default_rng(order)
    calls = [(F.avg_pool2d, (3, 2, 1)), (F.avg_pool2d, ((2, 3), (1, 2), (0, 1), True, False)), (F.adaptive_avg_pool2d, ((4, 3),)),
             (F.adaptive_max_pool2d, ((4, 3),)), (F.adaptive_avg_pool2d, (1,))]
    for call, options in calls:
        x = rng.standard_normal((2, 8, 11, 7)).astype(NUMPY[name])
        leaf, exact = on_emu(x, layout).requires_grad_(), tg.from_numpy(x.astype(np.float64)).requires_grad_()
        y, want = call(leaf, *options), call(exact, *options)
        g = rng.standard_normal(y.shape).astype(NUMPY[name])
        y.backward(on_emu(g, layout))
        want.backward(tg.from_numpy(g.astype(np.float64)))
        assert relative_error(y.numpy(force=True), want.numpy(force=True)) <= TOLERANCE[name]
        assert relative_error(leaf.grad.numpy(), exact.grad.numpy()) <= TOLERANCE[name]
    assert ("resample", "cuda/v01_channels_last" if layout == "NHWC" else "cuda/v02_tile") in ran


def test_nan_outside_a_window_does_not_leak_into_it():
    x = np.ones((1, 1, 12, 12), np.float32)
    x[0, 0, 5, 5] = np.nan
    for y in (F.avg_pool2d(on_emu(x), 2), F.adaptive_avg_pool2d(on_emu(x), 6)):
        bad = np.isnan(y.numpy()[0, 0])
        assert bad.sum() == 1
        assert bad[2, 2]


def test_channels_last_stay_last():
    x = on_emu(np.ones((2, 8, 6, 6), np.float32), "NHWC").requires_grad_()
    y = F.max_pool2d(x, 2)
    y.sum().backward()
    assert y.numpy(force=True).transpose(0, 2, 3, 1).flags.c_contiguous
    assert F.avg_pool2d(x, 2).numpy(force=True).transpose(0, 2, 3, 1).flags.c_contiguous


def test_what_a_rung_cannot_do_is_refused_before_the_launch():
    x = on_emu(np.ones((2, 3, 6, 6), np.float32))
    with tg.kernels.use("max_pool2d", "cuda/v01_channels_last"), pytest.raises(NotImplementedError, match="needs the channels last"):
        F.max_pool2d(x, 2)


def test_scattering_without_windows_runs_on_a_borrowed_kernel(ran):
    at = tg.from_numpy(np.array([[4, 4, 0]])).to("emu")
    fn.pool_scatter(on_emu(np.ones((1, 3), np.float32)), at, (5,))
    assert ran == {("pool_scatter", "cpu/planes")}
