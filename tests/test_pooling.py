"""Pooling: NaN and infinity, ties, random geometries against loops, the same result for any number of threads."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.op import fn


def by_loops(x, kernel, stride, padding, dilation, ceil_mode):
    """(maxima, indices) in scan order: a larger value or a NaN replaces what was found, so the first of equals and the last NaN stay."""
    sizes = []
    for n, k, s, p, d in zip(x.shape, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        size = (-(-room // s) if ceil_mode else room // s) + 1
        sizes.append(size - 1 if ceil_mode and (size - 1) * s >= n + p else size)
    y, at = np.empty(sizes, x.dtype), np.empty(sizes, np.int64)
    for i, j in np.ndindex(*sizes):
        best = None
        for a, b in np.ndindex(*kernel):
            r, c = i * stride[0] - padding[0] + a * dilation[0], j * stride[1] - padding[1] + b * dilation[1]
            if 0 <= r < x.shape[0] and 0 <= c < x.shape[1] and (best is None or x[r, c] > x.flat[best] or np.isnan(x[r, c])):
                best = r * x.shape[1] + c
        y[i, j], at[i, j] = x.flat[best], best
    return y, at


@pytest.mark.parametrize("path", ["cpu/rows", "cpu/numpy"])
def test_max_pool2d_on_random_geometries(path):
    """Ties, NaN and -inf included."""
    rng = np.random.default_rng(0)
    done = 0
    with tg.kernels.use("max_pool2d", path):
        while done < 150:
            x = rng.integers(-2, 3, rng.integers(1, 40, 2)).astype(np.float32)
            x[x == -2], x[rng.random(x.shape) < 0.05] = -np.inf, np.nan
            kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, high, 2)) for high in (6, 5, 3))
            options = kernel, stride, tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel), dilation, bool(rng.random() < 0.5)
            try:
                y, at = fn.max_pool2d(tg.tensor(x[None]), *options, return_indices=True)
            except RuntimeError as error:
                if "does not fit" in str(error) or "padding alone" in str(error):
                    continue
                raise
            want, want_at = by_loops(x, *options)
            np.testing.assert_array_equal(y.numpy()[0], want)
            np.testing.assert_array_equal(at.numpy()[0], want_at)
            done += 1


def test_overlapping_windows_add_their_gradients():
    x = tg.tensor([[[0.0, 1.0, 0.0, 2.0, 0.0]]]).requires_grad_()
    fn.max_pool1d(x, 3, 1).backward(tg.tensor([[[1.0, 10.0, 100.0]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[0, 1, 0, 110, 0]]])


def test_unpooling_undoes_pooling():
    x = tg.tensor(np.random.default_rng(0).standard_normal((2, 3, 7, 9)))
    y, at = fn.max_pool2d(x, 2, return_indices=True)
    back = fn.max_unpool2d(y, at, 2, output_size=x.shape).numpy()
    assert back.shape == x.shape
    np.testing.assert_array_equal(back[back != 0], x.numpy()[back != 0])
    assert (back != 0).sum() == y.numel()


@pytest.mark.parametrize("call", [
    lambda x: fn.max_pool2d(x, 3, 2, 1), lambda x: fn.avg_pool2d(x, 3, 2, 1), lambda x: fn.adaptive_avg_pool2d(x, 3),
    lambda x: fn.adaptive_max_pool2d(x, 5), lambda x: fn.interpolate(x, scale_factor=1.7, mode="bilinear"), lambda x: fn.unfold(x, 3),
])
def test_same_result_for_any_number_of_threads(call):
    ext = tg.device("cpu").backend.ext
    before = ext.get_num_threads()
    data, found = np.random.default_rng(0).standard_normal((7, 11, 37, 41)).astype(np.float32), []
    try:
        for threads in (1, 2, 3):
            ext.set_num_threads(threads)
            x = tg.tensor(data).requires_grad_()
            y = call(x)
            (y * y).sum().backward()
            found.append((y.detach().numpy(), x.grad.numpy()))
    finally:
        ext.set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_nan_outside_a_window_does_not_leak_into_it():
    x = np.ones((1, 1, 12, 12))
    x[0, 0, 5, 5] = np.nan
    for y in (fn.avg_pool2d(tg.tensor(x), 2), fn.interpolate(tg.tensor(x), 6, mode="bilinear"), fn.adaptive_avg_pool2d(tg.tensor(x), 6)):
        bad = np.isnan(y.numpy()[0, 0])
        assert bad.sum() == 1
        assert bad[2, 2]
