"""Dropout: the rate, the scale, reproducibility, gradients."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import random
from tensorgrad.autograd import gradcheck, gradgradcheck
from tensorgrad.op import fn

ALL = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
SHAPES = {"dropout1d": (3, 5, 4), "dropout2d": (3, 5, 4, 2), "dropout3d": (3, 5, 2, 2, 2)}


def sample(name):
    return tg.tensor(np.random.default_rng(0).standard_normal(SHAPES.get(name, (3, 5, 7))))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_rate_and_scale(p):
    random.manual_seed(1)
    n = 200_000
    y = fn.dropout(tg.ones(n), p).numpy()
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_array_equal(y[kept], np.float32(1 / (1 - p)))


def test_draws_are_independent():
    random.manual_seed(2)
    kept = fn.dropout(tg.ones(400, 500), 0.5).numpy() != 0
    for lag in (1, 2, 3, 4, 16, 64):
        same = (kept.ravel()[lag:] == kept.ravel()[:-lag]).mean()
        assert abs(same - 0.5) < 5 * 0.5 / np.sqrt(kept.size)


def test_bits_are_those_of_the_generator():
    """Word i of the stream decides about element i, by the definition of Philox 4x32-10 written with Python's integers."""
    def block(seed, counter):
        c, k = [counter & 0xFFFFFFFF, counter >> 32, 0, 0], [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return c

    seed, first = 0x9ABCDEF012345678, (1 << 32) - 3
    y = fn.drop(tg.ones(103), 0.3, 1.0, state=(seed, first)).numpy()
    words = np.array([w for i in range(26) for w in block(seed, first + i)])[:103]
    np.testing.assert_array_equal(y != 0, words < round(0.3 * 2**32))


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_mask_next_call_another(name):
    x, op = sample(name), getattr(fn, name)
    random.manual_seed(7)
    a, b = op(x, 0.5, True).numpy(), op(x, 0.5, True).numpy()
    random.manual_seed(7)
    np.testing.assert_array_equal(op(x, 0.5, True).numpy(), a)
    assert (a != b).any()
    state = random.get_rng_state()
    c = op(x, 0.5, True).numpy()
    random.set_rng_state(state)
    np.testing.assert_array_equal(op(x, 0.5, True).numpy(), c)


def test_mask_does_not_depend_on_the_number_of_threads():
    ext = tg.device("cpu").backend.ext
    before = ext.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            ext.set_num_threads(threads)
            random.manual_seed(3)
            found.append(fn.dropout(tg.ones(300_001), 0.4).numpy())
    finally:
        ext.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("name", ALL)
def test_off_is_the_input_itself(name):
    x, op = sample(name), getattr(fn, name)
    assert op(x, 0.5, False) is x
    assert op(x, 0.0, True) is x


@pytest.mark.parametrize("name", ALL)
def test_everything_dropped(name):
    x = sample(name).requires_grad_()
    y = getattr(fn, name)(x, 1.0, True)
    assert (y.detach().numpy() == 0).all()
    y.sum().backward()
    assert (x.grad.numpy() == 0).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_must_be_a_probability(name, p):
    with pytest.raises(ValueError, match=f"{name}: p must be a probability between 0 and 1"):
        getattr(fn, name)(sample(name), p, True)


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "dropout3d"])
def test_channels_fall_whole(name):
    random.manual_seed(0)
    shape = (40, 50, *SHAPES[name][2:])
    y = getattr(fn, name)(tg.ones(*shape), 0.3).numpy().reshape(2000, -1)
    assert (y == y[:, :1]).all()
    assert abs((y[:, 0] != 0).mean() - 0.7) < 0.06
    with pytest.raises(RuntimeError, match=f"{name}: input must be"):
        getattr(fn, name)(tg.ones(3))


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    random.manual_seed(0)
    x = tg.tensor(np.random.default_rng(0).standard_normal((500, 1000)))
    y = getattr(fn, name)(x, 0.3, True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02


@pytest.mark.parametrize("name", ALL)
def test_gradients(name):
    def once(x):
        random.manual_seed(5)
        return getattr(fn, name)(x, 0.4, True)

    x = sample(name).requires_grad_()
    assert gradcheck(once, [x])
    assert gradgradcheck(once, [x])


def test_in_place():
    x = tg.ones(50)
    random.manual_seed(1)
    want = fn.dropout(x, 0.5).numpy().copy()
    random.manual_seed(1)
    assert fn.dropout(x, 0.5, inplace=True) is x
    np.testing.assert_array_equal(x.numpy(), want)


def test_layouts_and_half_precision():
    x = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    random.manual_seed(4)
    want = fn.dropout(tg.from_numpy(x), 0.5).numpy()
    random.manual_seed(4)
    np.testing.assert_array_equal(fn.dropout(tg.from_numpy(np.array(x.T, order="C").T), 0.5).numpy(), want)
    random.manual_seed(4)
    half = fn.dropout(tg.tensor(x, dtype=tg.float16), 0.5)
    assert half.dtype is tg.float16
    np.testing.assert_allclose(half.numpy().astype(np.float32), want, rtol=2e-3)
    assert fn.dropout(tg.zeros(0, 3), 0.5).shape == (0, 3)
