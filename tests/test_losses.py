"""Losses beyond their cases: chunks of large problems, precision, rungs, random ones."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import kernels
from tensorgrad.op import fn


@pytest.mark.parametrize("shape", [(1000, 10), (4, 50257), (3, 21, 40, 50)])
def test_cross_entropy_in_float32(shape):
    """Loss and gradient of the fused kernel, on several threads, against float64 log-softmax."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * 5
    t = rng.integers(0, shape[1], shape[:1] + shape[2:])
    t.reshape(-1)[::7] = -100
    got = tg.tensor(x, dtype=tg.float32).requires_grad_()
    loss = fn.cross_entropy(got, tg.from_numpy(t), label_smoothing=0.1)
    loss.backward()
    want = tg.from_numpy(x).requires_grad_()
    reference = fn.cross_entropy.op.reference(x, t, label_smoothing=0.1)
    np.testing.assert_allclose(loss.item(), reference, rtol=1e-6)
    log_p = fn.log_softmax(want, 1)
    kept = t != -100
    nll = fn.nll_loss(log_p, tg.from_numpy(t))
    smooth = (log_p.mean(1) * tg.from_numpy(kept.astype(np.float64))).sum() * (-1.0 / kept.sum())
    (nll * 0.9 + smooth * 0.1).backward()
    error = got.grad.numpy() - want.grad.numpy()
    assert np.linalg.norm(error) < 2e-6 * np.linalg.norm(want.grad.numpy())


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "dim"), [((3, 100003), 1), ((5003, 33), 0), ((300, 200), 1), ((64, 50, 70), 1)])
def test_softmax_in_float32_and_its_rungs(op, shape, dim):
    x = np.random.default_rng(0).standard_normal(shape) * 10
    want = getattr(fn, op).op.reference(x, dim)
    for path in ("cpu/rows", "cpu/numpy"):
        with kernels.use(op, path):
            got = getattr(fn, op)(tg.tensor(x, dtype=tg.float32), dim).numpy()
        assert np.linalg.norm(got - want) < 2e-6 * np.linalg.norm(want)


def test_softmax_does_not_depend_on_threads():
    x = tg.tensor(np.random.default_rng(0).standard_normal((300, 517)), dtype=tg.float32)
    before = tg.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            tg.set_num_threads(threads)
            results.append([fn.softmax(x, 1).numpy().tobytes(), fn.log_softmax(x, 0).numpy().tobytes()])
    finally:
        tg.set_num_threads(before)
    assert results[0] == results[1]


def test_softmax_follows_the_dtype_argument():
    ints = tg.tensor([[1, 2, 3]])
    assert fn.softmax(ints, 1, dtype=tg.float64).dtype is tg.float64
    half = tg.tensor([[1.0, 2.0, 3.0]], dtype=tg.float16).requires_grad_()
    out = fn.log_softmax(half, 1, dtype=tg.float32)
    assert out.dtype is tg.float32
    out[0, 0].backward()
    assert half.grad.dtype is tg.float16


def test_exponentials_at_the_ends_of_the_range():
    """Softmax rows whose smaller entry is e^-d, down to where float32 and float64 run out of digits."""
    for dtype, ends in ((tg.float32, (0, 1, 50, 86, 88, 95, 103, 104, 200)), (tg.float64, (0, 1, 300, 707, 710, 740, 745, 746, 900))):
        rows = np.array([[0.0, -d] for d in ends])
        got = fn.softmax(tg.tensor(rows, dtype=dtype), 1).numpy()[:, 1]
        want = (np.exp(rows[:, 1]) / (1 + np.exp(rows[:, 1]))).astype(got.dtype)
        spacing = np.maximum(np.spacing(want), np.finfo(got.dtype).smallest_subnormal)
        assert (np.abs(got - want) <= 4 * spacing).all()


def test_gumbel_softmax():
    tg.manual_seed(0)
    logits = tg.tensor(np.log([0.1, 0.2, 0.7]), dtype=tg.float64).expand(20000, 3).clone().requires_grad_()
    hard = fn.gumbel_softmax(logits, tau=0.5, hard=True)
    assert set(np.unique(hard.detach().numpy().round(12))) == {0.0, 1.0}
    np.testing.assert_allclose(hard.detach().numpy().mean(axis=0), [0.1, 0.2, 0.7], atol=0.02)
    (hard * tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64)).sum().backward()
    assert np.abs(logits.grad.numpy()).sum() > 0
    soft = fn.gumbel_softmax(logits, dim=0)
    np.testing.assert_allclose(soft.detach().numpy().sum(axis=0), 1.0)
    with pytest.raises(ValueError, match="tau must be above 0, got 0"):
        fn.gumbel_softmax(logits, tau=0)


def test_reduction_by_the_old_flags():
    x, y = tg.tensor([1.0, 2.0, 4.0]), tg.tensor([0.0, 0.0, 0.0])
    assert fn.mse_loss(x, y, size_average=False).item() == 21.0
    assert fn.mse_loss(x, y, size_average=True).item() == 7.0
    assert fn.mse_loss(x, y, reduce=False).tolist() == [1.0, 4.0, 16.0]
