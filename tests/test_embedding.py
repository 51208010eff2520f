"""Embedding options whose gradients are conventions rather than derivatives, and changes made in place."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.op import fn


def table(rows=7, features=3, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, features))


INDEX = np.array([[0, 2, 2], [5, 2, 0]])


def gradient(call):
    """(weight gradient, gradient of the output) of `call(weight)` for a fixed random output gradient."""
    w = tg.tensor(table()).requires_grad_()
    y = call(w)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(tg.tensor(g))
    return w.grad.numpy(), g


def test_padding_row_gets_no_gradient():
    dw, g = gradient(lambda w: fn.embedding(tg.tensor(INDEX), w, padding_idx=-5))
    want = np.zeros((7, 3))
    np.add.at(want, INDEX, g)
    want[2] = 0
    np.testing.assert_allclose(dw, want)


def test_gradient_scaled_by_frequency():
    dw, g = gradient(lambda w: fn.embedding(tg.tensor(INDEX), w, scale_grad_by_freq=True))
    want = np.zeros((7, 3))
    np.add.at(want, INDEX, g)
    np.testing.assert_allclose(dw, want / np.array([2, 1, 3, 1, 1, 1, 1])[:, None])


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bag_gradient_scaled_by_frequency(mode):
    dw, g = gradient(lambda w: fn.embedding_bag(tg.tensor(INDEX), w, mode=mode, scale_grad_by_freq=True))
    want = np.zeros((7, 3))
    np.add.at(want, INDEX, np.repeat(g[:, None], 3, 1) / (3 if mode == "mean" else 1))
    np.testing.assert_allclose(dw, want / np.array([2, 1, 3, 1, 1, 1, 1])[:, None])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_last_offset_and_empty_bags(mode):
    w = tg.tensor(table())
    line, cuts = tg.tensor(INDEX.ravel()), tg.tensor([0, 2, 2, 6])
    with_last = fn.embedding_bag(line, w, cuts, mode=mode, include_last_offset=True).numpy()
    without = fn.embedding_bag(line, w, tg.tensor([0, 2, 2]), mode=mode).numpy()
    np.testing.assert_array_equal(with_last, without)
    assert (with_last[1] == 0).all()
    with pytest.raises(RuntimeError, match="the last offset must be 6"):
        fn.embedding_bag(line, w, tg.tensor([0, 2, 5]), mode=mode, include_last_offset=True)


@pytest.mark.parametrize("p", [1.0, 2.0, float("inf")])
def test_max_norm_shortens_the_rows_looked_up(p):
    w = tg.tensor(table() * 5)
    before = w.numpy().copy()
    y = fn.embedding(tg.tensor(INDEX), w, max_norm=1.0, norm_type=p).numpy()
    norms = np.linalg.norm(w.numpy(), ord=p, axis=1)
    assert (norms[[0, 2, 5]] <= 1 + 1e-6).all()
    np.testing.assert_array_equal(w.numpy()[[1, 3, 4, 6]], before[[1, 3, 4, 6]])
    np.testing.assert_array_equal(y, w.numpy()[INDEX])


def test_max_norm_counts_as_a_change_in_place():
    w = tg.tensor(table() * 5).requires_grad_()
    y = (w * w).sum()
    fn.embedding(tg.tensor(INDEX), w, max_norm=1.0)
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        y.backward()


def test_many_terms_on_one_row_keep_their_digits():
    g = np.random.default_rng(0).uniform(0, 1, (100_000, 4)).astype(np.float32)
    w = tg.zeros(3, 4).requires_grad_()
    fn.embedding(tg.tensor(np.ones(len(g), np.int64)), w).backward(tg.tensor(g))
    np.testing.assert_allclose(w.grad.numpy()[1], g.astype(np.float64).sum(0), rtol=1e-6)


def test_gradient_does_not_depend_on_the_number_of_threads():
    ext = tg.device("cpu").backend.ext
    before = ext.get_num_threads()
    index = tg.tensor(np.random.default_rng(0).integers(0, 50, 5000))
    g = tg.tensor(np.random.default_rng(1).standard_normal((5000, 64)).astype(np.float32))
    found = []
    try:
        for threads in (1, 2, 3):
            ext.set_num_threads(threads)
            w = tg.zeros(50, 64).requires_grad_()
            fn.embedding(index, w).backward(g)
            found.append(w.grad.numpy())
    finally:
        ext.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_indices_changed_before_backward_are_noticed():
    index, w = tg.tensor(INDEX), tg.tensor(table()).requires_grad_()
    y = fn.embedding(index, w).sum()
    index.fill_(0)
    with pytest.raises(RuntimeError, match="embedding: a tensor of shape \\(2, 3\\) needed for its gradient was changed"):
        y.backward()
