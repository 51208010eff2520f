"""Activation checkpointing: the same gradients, less memory."""
from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.autograd import gradcheck, gradgradcheck
from tensorgrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def leaf(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def noise(shape):
    """Random numbers from the default generator, as dropout draws them."""
    return tg.from_numpy((tg.random.default_generator.bits(int(np.prod(shape))) / 2.0**32).reshape(shape))


def block(x, w):
    """Several saved tensors, own outputs among them, and randomness."""
    return ((x @ w).tanh() * noise((x.shape[0], w.shape[1]))).exp() * 0.1


def plain(f, *args, **kwargs):
    return f(*args)


def run(wrapper, depth=3):
    tg.random.manual_seed(0)
    x, ws = leaf(4, 5), [leaf(5, 5, seed=i + 1) for i in range(depth)]
    y = x * 2
    for w in ws:
        y = wrapper(block, y, w)
    y.sum().backward()
    return [y.detach().numpy(), x.grad.numpy(), *[w.grad.numpy() for w in ws], np.array(tg.random.get_rng_state())]


def test_gradients_and_random_state_are_bit_for_bit_the_same():
    for a, b in zip(run(plain), run(checkpoint), strict=True):
        assert np.array_equal(a, b)


def test_closures_get_gradients():
    w = leaf(5, 5)
    x = leaf(4, 5, seed=1)

    def f(t):
        return ((t @ w).tanh() @ w).tanh()

    for wrapper in (plain, checkpoint):
        w.grad = x.grad = None
        wrapper(f, x).sum().backward()
        found = (w.grad.numpy().copy(), x.grad.numpy().copy())
        if wrapper is plain:
            want = found
    assert all(np.array_equal(a, b) for a, b in zip(found, want, strict=True))


def test_inputs_that_need_no_gradient_and_keyword_arguments():
    w, data = leaf(3, 3), tg.from_numpy(np.ones((2, 3)))
    checkpoint(lambda x, *, scale: (x @ w).tanh() * scale, data, scale=2.0).sum().backward()
    got = w.grad.numpy().copy()
    w.grad = None
    ((data @ w).tanh() * 2.0).sum().backward()
    assert np.array_equal(got, w.grad.numpy())


def test_autograd_grad_and_second_derivatives():
    x, w = leaf(2, 3), leaf(3, 3, seed=1)

    def f(x, w):
        return checkpoint(lambda a, b: (a @ b).tanh().exp(), x * 1, w)

    assert gradcheck(f, [x, w])
    assert gradgradcheck(f, [x, w])


def test_several_backward_passes():
    x = leaf(3)
    y = checkpoint(lambda t: t.exp().tanh(), x)
    y.sum().backward(retain_graph=True)
    once = x.grad.numpy().copy()
    y.sum().backward()
    assert np.allclose(x.grad.numpy(), 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_nested():
    def inner(t):
        return t.exp().tanh()

    def outer(wrapper):
        return lambda t: wrapper(inner, wrapper(inner, t * 0.5) * 2).exp()

    grads = []
    for wrapper in (plain, checkpoint):
        x = leaf(3)
        y = wrapper(outer(wrapper), x * 1)
        y.sum().backward()
        grads.append(x.grad.numpy())
    assert np.array_equal(*grads)


def test_several_outputs():
    x = leaf(3)
    _, b = checkpoint(lambda t: (t.exp(), t.tanh()), x)
    b.sum().backward()
    assert np.allclose(x.grad.numpy(), 1 - np.tanh(x.detach().numpy()) ** 2)


def test_runs_twice_only_when_needed():
    calls = []

    def f(t):
        calls.append(1)
        return t.exp()

    x = leaf(3)
    with tg.no_grad():
        checkpoint(f, x)
    assert len(calls) == 1
    y = checkpoint(f, x)
    assert len(calls) == 2
    y.sum().backward()
    assert len(calls) == 3


def test_peak_memory_falls():
    w = [leaf(64, 64, seed=i) for i in range(16)]

    def layers(x, begin, end):
        for i in range(begin, end):
            x = (x @ w[i]).tanh()
        return x

    def step(wrapper):
        x = leaf(4096, 64)
        y = x * 1
        for i in range(0, 16, 4):
            y = wrapper(lambda t, i=i: layers(t, i, i + 4), y)
        y.sum().backward()

    peaks = []
    for wrapper in (plain, checkpoint):
        step(wrapper)
        tracemalloc.start()
        step(wrapper)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.6 * peaks[0], [p / 2**20 for p in peaks]


def test_a_convolutional_network_with_dropout():
    """Bit for bit, through modules, with batch norm in evaluation mode and random dropout; with less memory."""
    def network():
        tg.manual_seed(0)
        blocks = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.Dropout(0.3)) for _ in range(8)]
        return nn.Sequential(*blocks)

    found, peaks = [], []
    for wrapper in (plain, checkpoint):
        m = network()
        x = tg.rand(2, 4, 64, 64, requires_grad=True)
        tracemalloc.start()
        y = x
        for block in m:
            y = wrapper(block, y)
        y.square().sum().backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found.append([x.grad.numpy(), *[p.grad.numpy() for p in m.parameters()]])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert peaks[1] < 0.75 * peaks[0], [p / 2**20 for p in peaks]


def test_a_function_that_changes_its_mind_is_refused():
    calls = []

    def f(t):
        calls.append(1)
        return t.exp() if len(calls) % 2 else t.sum(0).exp()

    x = leaf(3, 2)
    with pytest.raises(CheckpointError, match=r"saved one of shape \(3, 2\) .* and one of shape \(2,\)"):
        checkpoint(f, x).sum().backward()

    def shorter(t):
        calls.append(1)
        return t.exp().exp() if len(calls) % 2 else t * 1

    calls.clear()
    with pytest.raises(CheckpointError, match="saved 2 tensors for backward in its first run and fewer"):
        checkpoint(shorter, x).sum().backward()


def test_an_input_changed_in_place_is_noticed():
    x = leaf(3)
    y = x * 1
    z = checkpoint(lambda t: t.exp().exp(), y)
    y.fill_(0)
    with pytest.raises(RuntimeError, match="in-place"):
        z.sum().backward()


def test_checkpoint_sequential():
    x = leaf(3)
    steps = nn.Sequential(*[nn.Tanh() for _ in range(5)])
    grads = []
    for segments in (1, 2, 5):
        x.grad = None
        checkpoint_sequential(steps, segments, x * 1).sum().backward()
        grads.append(x.grad.numpy())
    assert np.array_equal(grads[0], grads[1])
    assert np.array_equal(grads[0], grads[2])
    with pytest.raises(ValueError, match="5 functions cannot be split into 6"):
        checkpoint_sequential(steps, 6, x)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(lambda t: t, leaf(1), determinism_check="maybe")
