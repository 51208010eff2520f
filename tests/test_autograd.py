"""The engine: order, accumulation, memory, modes, hooks, errors."""
from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import gradcheck, gradgradcheck


def leaf(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).uniform(0.5, 1.5, shape), requires_grad=True)


def test_a_chain_of_100_000_operations():
    x = leaf(3)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    del y  # freeing the graph must not overflow the stack either


def test_a_wide_graph_visits_each_node_once():
    """A ladder of n diamonds has 2^n paths; each node runs once all the same."""
    x = leaf()
    y = x
    for _ in range(60):
        y = y * 0.5 + y * 0.5
    y.backward()
    assert x.grad.item() == pytest.approx(1.0)


def test_gradients_accumulate_over_calls():
    x = leaf(2)
    (x * 3.0).sum().backward()
    (x * 4.0).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]


def test_gradients_of_two_leaves_never_share_memory():
    x, y = leaf(4), leaf(4)
    (x + y).sum().backward()
    x.grad.fill_(9.0)
    assert y.grad.tolist() == [1.0] * 4
    seed = tg.ones(4, dtype=tg.float64)
    x.grad = None
    (x + 0.0).backward(seed)
    x.grad.fill_(5.0)
    assert seed.tolist() == [1.0] * 4


def test_leaf_gradients_are_dense():
    x = leaf(3, 4)
    x.sum().backward()
    assert x.grad.is_contiguous()
    x.grad.fill_(2.0)
    assert x.grad.sum().item() == 24.0


def test_second_backward_says_what_to_do():
    x = leaf(2)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()


def test_backward_needs_a_scalar_or_a_gradient():
    x = leaf(2)
    with pytest.raises(RuntimeError, match=r"shape \(2,\)"):
        (x * 2.0).backward()
    with pytest.raises(ValueError, match=r"gradient \(3,\)"):
        (x * 2.0).backward(tg.ones(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        tg.ones(()).backward()


def test_grad_leaves_dot_grad_alone():
    x, y = leaf(2), leaf(2)
    (gx,) = tg.autograd.grad((x * y).sum(), [x])
    assert np.array_equal(gx.numpy(), y.detach().numpy())
    assert x.grad is None
    assert y.grad is None


def test_grad_of_a_tensor_in_the_middle():
    x = leaf(3)
    h = x * x
    (gh,) = tg.autograd.grad((h * 5.0).sum(), h)
    assert gh.tolist() == [5.0] * 3


def test_grad_of_what_is_not_used():
    x, y = leaf(2), leaf(2)
    with pytest.raises(RuntimeError, match="do not depend on input 1"):
        tg.autograd.grad((x * 2.0).sum(), [x, y])
    assert tg.autograd.grad((x * 2.0).sum(), [x, y], allow_unused=True)[1] is None
    assert tg.autograd.grad((x * 2.0).sum(), [x, y], materialize_grads=True)[1].tolist() == [0.0, 0.0]


def test_grad_skips_what_lies_off_the_path():
    """Backward of an operation between the outputs and other leaves is not run."""
    x, y = leaf(2), leaf(2)
    other = y * 2.0
    ran = []
    other.register_hook(lambda g: ran.append(1))
    tg.autograd.grad((x * x + other).sum(), x)
    assert ran == []


def test_higher_derivatives():
    x = leaf()
    y = x**4
    for factor in (4, 12, 24, 24):
        (y,) = tg.autograd.grad(y, x, create_graph=True)
        power = {4: 3, 12: 2}.get(factor)
        if power:
            assert y.item() == pytest.approx(factor * x.item() ** power)
    assert y.item() == pytest.approx(24.0)


def test_backward_through_a_gradient_penalty():
    """d/dw of |d f/dx|^2, the pattern of WGAN-GP, against finite differences."""
    w = leaf(3, 3, seed=1)

    def penalty(w):
        x = tg.tensor(np.linspace(0.1, 0.9, 3), requires_grad=True)
        (g,) = tg.autograd.grad(((x @ w).exp()).sum(), x, create_graph=True)
        return (g * g).sum()

    assert gradcheck(penalty, [w])
    assert gradgradcheck(penalty, [w])


def test_no_grad_as_context_and_decorator():
    x = leaf(2)
    with tg.no_grad():
        assert not (x * 2.0).requires_grad
        with tg.enable_grad():
            assert (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad

    @tg.no_grad()
    def double(t):
        return t * 2.0

    assert not double(x).requires_grad
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert tg.is_grad_enabled()
    with tg.set_grad_enabled(False):
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_the_mode_belongs_to_the_thread():
    seen = []
    with tg.no_grad():
        t = threading.Thread(target=lambda: seen.append(tg.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_detach_shares_memory_and_cuts_history():
    x = leaf(2)
    y = (x * 2.0).detach()
    assert y.is_leaf
    assert not y.requires_grad
    assert x.detach().data_ptr() == x.data_ptr()


def test_hooks_on_leaves_and_in_the_middle():
    x = leaf(2)
    h = x * 3.0
    seen = []
    h.register_hook(lambda g: seen.append(g.tolist()))
    handle = h.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g + 1.0)
    h.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [31.0, 31.0]
    handle.remove()
    x.grad = None
    h = x * 3.0
    h.sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_a_leaf_hook_sees_the_whole_gradient_once():
    x = leaf()
    calls = []
    x.register_hook(lambda g: calls.append(g.item()))
    (x * 2.0 + x * 3.0).backward()
    assert calls == [5.0]


def test_retain_grad():
    x = leaf(2)
    h = x * 3.0
    h.retain_grad()
    (h * h).sum().backward()
    assert np.allclose(h.grad.numpy(), 2 * h.detach().numpy())


def test_graphs_are_freed_without_the_garbage_collector():
    """No reference cycles: memory comes back when the last tensor goes."""
    gc.disable()
    try:
        x = leaf(4)
        y = (x.exp() * x).sum()
        node = weakref.ref(y.grad_fn)
        y.backward()
        del y
        assert node() is None
        y = (x.exp() * x).sum()
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_saved_tensors_are_freed_by_backward():
    x = leaf(4)
    h = x * 2.0
    y = (h * h).sum()
    kept = weakref.ref(h)
    del h
    assert kept() is not None
    y.backward()
    assert kept() is None


def test_a_tensor_changed_after_it_was_saved():
    x = leaf(3)
    h = x * 1.0
    y = (h * h).sum()
    h.add_(1.0)
    with pytest.raises(RuntimeError, match=r"mul: a tensor of shape \(3,\).*in-place"):
        y.backward()
    h = x.exp()  # saves its output
    h.mul_(2.0)
    with pytest.raises(RuntimeError, match="exp: a tensor"):
        h.sum().backward()


def test_in_place_on_a_leaf_is_refused():
    x = leaf(3)
    with pytest.raises(RuntimeError, match="leaf"):
        x.add_(1.0)
    with tg.no_grad():
        x.add_(1.0)


def test_only_floats_have_gradients():
    with pytest.raises(RuntimeError, match="int64"):
        tg.tensor([1, 2], requires_grad=True)


def test_backward_into_given_inputs_only():
    x, y = leaf(2), leaf(2)
    (x * y).sum().backward(inputs=[x])
    assert x.grad is not None
    assert y.grad is None


def test_gradcheck_finds_a_wrong_gradient():
    x = leaf(3)

    def crooked(t):
        return t.detach() * 2.0 + t * 0.5  # value 2.5 t, gradient 0.5

    with pytest.raises(RuntimeError, match=r"at \(0,\): analytical 0\..*numerical 2\."):
        gradcheck(lambda t: crooked(t) + 0 * t, [x])
    assert gradcheck(lambda t: crooked(t), [x], raise_exception=False) is False
    with pytest.raises(ValueError, match="float32"):
        gradcheck(lambda t: t * 1.0, [tg.ones(2, requires_grad=True)])


def test_two_threads_run_backward_at_once():
    w = leaf(50)
    grads = []

    def work(k):
        x = leaf(50, seed=k)
        for _ in range(50):
            x.grad = None
            (x * w.detach() * x).sum().backward()
        grads.append(np.allclose(x.grad.numpy(), 2 * (x * w).detach().numpy()))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert grads == [True] * 4


def test_gradients_come_in_the_dtype_of_what_they_belong_to():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.tensor([3.0, 4.0], dtype=tg.float64, requires_grad=True)
    h = tg.tensor([5.0, 6.0], dtype=tg.float16, requires_grad=True)
    seen = []
    middle = x * 2
    middle.register_hook(lambda g: seen.append(g.dtype))
    (middle * y + tg.where(y > 3, h, y) + tg.cat([h, y])[:2]).sum().backward()
    assert [t.grad.dtype for t in (x, y, h)] == [tg.float32, tg.float64, tg.float16]
    assert seen == [tg.float32]
    assert x.grad.tolist() == [6.0, 8.0]


def test_a_promoted_result_of_a_convolution_has_a_gradient():
    x, w = tg.randn(1, 2, 5, 5, requires_grad=True), tg.randn(3, 2, 3, 3, requires_grad=True)
    (tg.nn.functional.conv2d(x, w) * tg.ones(3, 3, dtype=tg.float64)).sum().backward()
    assert x.grad.dtype == w.grad.dtype == tg.float32


def test_a_second_gradient_passes_through_a_change_of_dtype():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (g,) = tg.autograd.grad((x * x * tg.ones(2, dtype=tg.float64)).sum(), x, create_graph=True)
    assert g.dtype == tg.float32
    assert g.requires_grad
    g.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
