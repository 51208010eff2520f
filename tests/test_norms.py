"""Normalisation: digits kept far from zero, running statistics, the same result for any number of threads."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.op import fn


def rows(x):
    """(N, C, S) with its channels last in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


CALLS = {
    "layer_norm": lambda x, w, b: fn.layer_norm(x, x.shape[-1:], w, b),
    "batch_norm": lambda x, w, b: fn.batch_norm(x, None, None, w, b, True),
    "group_norm": lambda x, w, b: fn.group_norm(x, 4, w, b),
    "instance_norm": lambda x, w, b: fn.instance_norm(x, weight=w, bias=b),
    "group_norm of rows": lambda x, w, b: fn.group_norm(rows(x), 4, w, b),
    "instance_norm of rows": lambda x, w, b: fn.instance_norm(rows(x), weight=w, bias=b),
}


def inputs(name, shape, mean):
    rng = np.random.default_rng(0)
    width = shape[-1] if name == "layer_norm" else shape[1]
    x = (rng.standard_normal(shape) + mean).astype(np.float32)
    return x, rng.uniform(0.5, 1.5, width).astype(np.float32), rng.standard_normal(width).astype(np.float32), rng.standard_normal(
        shape).astype(np.float32)


def forward_and_gradients(call, x, w, b, g, dtype):
    leaves = [tg.tensor(a, dtype=dtype).requires_grad_() for a in (x, w, b)]
    y = call(*leaves)
    y.backward(tg.tensor(g, dtype=dtype))
    return [y.detach().numpy(), *(t.grad.numpy() for t in leaves)]


@pytest.mark.parametrize("mean", [0.0, 1000.0, -30000.0])
@pytest.mark.parametrize("shape", [(16, 8, 24, 25), (33, 16, 3), (64, 20, 100)])
@pytest.mark.parametrize("name", CALLS)
def test_digits_far_from_zero(name, shape, mean):
    """Inputs of mean 1000 and standard deviation 1 in float32: result and gradients as good as for mean 0."""
    data = inputs(name, shape, mean)
    got, want = (forward_and_gradients(CALLS[name], *data, dtype) for dtype in (tg.float32, tg.float64))
    for a, b in zip(got, want, strict=True):
        assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(b)


def test_an_outlier_first():
    """The shift of the sums is the first element; one far away must not cost digits."""
    x = np.random.default_rng(0).standard_normal((1, 1, 100_000))
    x[0, 0, 0] = 1e4
    x = x.astype(np.float32)
    got = fn.group_norm(tg.tensor(x), 1, eps=0.0).numpy()
    wide = x.astype(np.float64)
    want = (wide - wide.mean()) / wide.std()
    assert np.linalg.norm(got - want) <= 1e-6 * np.linalg.norm(want)


@pytest.mark.parametrize("name", CALLS)
def test_same_result_for_any_number_of_threads(name):
    ext = tg.device("cpu").backend.ext
    before = ext.get_num_threads()
    data, found = inputs(name, (67, 8, 31, 9), 3.0), []
    try:
        for threads in (1, 2, 3):
            ext.set_num_threads(threads)
            found.append(forward_and_gradients(CALLS[name], *data, tg.float32))
    finally:
        ext.set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def strided(values):
    wide = np.repeat(values, 2)
    return tg.from_numpy(wide[::2])


@pytest.mark.parametrize("make", [tg.from_numpy, strided], ids=["contiguous", "strided"])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 7, 5)])
def test_batch_norm_moves_running_statistics(shape, make):
    x = np.random.default_rng(0).standard_normal(shape)
    mean, var = make(np.array([1.0, 2.0, 3.0])), make(np.array([0.5, 1.0, 2.0]))
    fn.batch_norm(tg.tensor(x), mean, var, training=True, momentum=0.3)
    dims = (0, *range(2, x.ndim))
    np.testing.assert_allclose(mean.numpy(), 0.7 * np.array([1, 2, 3]) + 0.3 * x.mean(dims))
    np.testing.assert_allclose(var.numpy(), 0.7 * np.array([0.5, 1, 2]) + 0.3 * x.var(dims, ddof=1))
    kept = mean.numpy().copy()
    fn.batch_norm(tg.tensor(x), mean, var, training=False)
    np.testing.assert_array_equal(mean.numpy(), kept)


def test_instance_norm_moves_running_statistics():
    x = np.random.default_rng(0).standard_normal((4, 3, 7))
    mean, var, w = tg.zeros(3, dtype=tg.float64), tg.ones(3, dtype=tg.float64), tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64)
    y = fn.instance_norm(tg.tensor(x), mean, var, w, momentum=0.1).numpy()
    np.testing.assert_allclose(y, fn.instance_norm(tg.tensor(x), weight=w).numpy())
    np.testing.assert_allclose(mean.numpy(), 0.1 * x.mean((0, 2)))
    np.testing.assert_allclose(var.numpy(), 0.9 + 0.1 * x.var(2, ddof=1).mean(0))


def test_running_statistics_stay_float32_beside_half_precision():
    x = np.random.default_rng(0).standard_normal((8, 3, 5))
    mean, var = tg.zeros(3), tg.ones(3)
    y = fn.batch_norm(tg.tensor(x, dtype=tg.bfloat16), mean, var, tg.ones(3), tg.zeros(3), True)
    assert y.dtype is tg.bfloat16
    np.testing.assert_allclose(mean.numpy(), 0.1 * x.mean((0, 2)), atol=1e-3)
    with pytest.raises(RuntimeError, match="batch_norm: weight is float16 but input is float32"):
        fn.batch_norm(tg.ones(4, 3), mean, var, tg.ones(3, dtype=tg.float16))


@pytest.mark.parametrize("name", CALLS)
def test_nan_stays_where_it_belongs(name):
    x, w, b, _ = inputs(name, (4, 8, 6), 0.0)
    x[1, 2, 3] = np.nan
    y = CALLS[name](tg.tensor(x), tg.tensor(w), tg.tensor(b)).numpy()
    norm = name.removesuffix(" of rows")
    want = {"layer_norm": (1, 2), "batch_norm": (slice(None), 2), "group_norm": (1, slice(2, 4)), "instance_norm": (1, 2)}[norm]
    mask = np.zeros(x.shape, bool)
    mask[want] = True
    np.testing.assert_array_equal(np.isnan(y), mask)
