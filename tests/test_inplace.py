"""In-place operations and autograd: on tensors, on views, on bases after views were taken; by finite differences and against PyTorch.

Each program works on `x` (3, 4) and `y` (4,) and uses only what both libraries offer, so that it runs on either.
"""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import gradcheck, gradgradcheck

try:
    import torch
except ImportError:
    torch = None

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


@program
def assign_a_row(x, y):
    h = x * 1.0
    h[0] = y
    return h * h


@program
def assign_a_number(x, y):
    h = x * y
    h[1:, 2] = 3.0
    return h * h


@program
def assign_broadcast(x, y):
    h = x * 1.0
    h[:, 1:3] = y[:2]
    return h * h * y


@program
def assign_part_of_itself(x, y):
    h = x * y
    h[0] = h[2] * 2.0
    return h * h


@program
def assign_by_mask(x, y):
    h = x * y
    h[x > 1.0] = 0.5
    return h * h


@program
def assign_by_mask_a_tensor(x, y):
    h = x * 1.0
    mask = h > 1.0
    h[mask] = (x * h.exp())[mask]
    return h * y


@program
def assign_by_lists(x, y):
    h = x * 1.0
    h[[0, 2], [1, 3]] = y[:2]
    return h * h


@program
def add_to_a_row(x, y):
    h = x * 2.0
    h[0] += y
    return h * h


@program
def add_by_mask(x, y):
    h = x * y
    h[x > 1.0] += 1.0
    return h * h


@program
def multiply_a_column(x, y):
    h = x * 1.0
    h[:, 1] *= y[:3]
    return h * h


@program
def add_to_the_transpose(x, y):
    h = x * 1.0
    h.t().add_(x.t() * x.t())
    return h * y


@program
def multiply_a_tensor_by_itself(x, y):
    h = x * 1.0
    h.mul_(h)
    return h * y


@program
def multiply_by_what_needs_the_old_value(x, y):
    h = x * 1.0
    h.mul_(y)
    h.mul_(x)
    return h * h


@program
def divide_then_exp(x, y):
    h = x * 1.0
    h.div_(y)
    h.exp_()
    return h * 0.5


@program
def views_before_and_after(x, y):
    h = x * 1.0
    early = h[1]
    h.mul_(y)
    late = h[1]
    return early * early + late


@program
def a_view_changed_is_seen_by_its_base(x, y):
    h = x * 1.0
    v = h[1:, ::2]
    v.mul_(v)
    return h * y


@program
def two_views_of_one_base(x, y):
    h = x * 1.0
    a, b = h[0], h[:, 0]
    a.mul_(y)
    b.mul_(2.0)
    return a * a + h[1] * b[1]


@program
def a_chain_of_views(x, y):
    h = x * 1.0
    v = h.t()[1:3].reshape(2, 3)[1]
    v.mul_(y[:3])
    v.add_(1.0)
    return h * h


@program
def a_view_of_a_view_after_the_base_changed(x, y):
    h = x * 1.0
    v = h[1:]
    w = v[0]
    h.mul_(y)
    w.mul_(w)
    return v * v + h[0]


@program
def parts_of_a_split(x, y):
    h = x * 1.0
    a, b = h.split(2, 1) if isinstance(h, tg.Tensor) else (h[:, :2], h[:, 2:])  # PyTorch refuses to change what split() gave
    a.mul_(y[:2])
    b.add_(a)
    return h * y


@program
def rows_by_unbind(x, y):
    h = x * 1.0
    rows = h.unbind(0) if isinstance(h, tg.Tensor) else (h[0], h[1], h[2])
    rows[2].mul_(y)
    rows[0].add_(rows[2])
    return h * y


@program
def a_base_without_gradient(x, y):
    h = x.detach() * 0.0
    early = h[0]
    h[1] = y
    h[0] = x[2]
    return h * h + early


@program
def an_untracked_view_becomes_tracked(x, y):
    h = x.detach() * 1.0
    v = h[1]
    h.mul_(x)
    return v * y


@program
def overwritten_wholly(x, y):
    h = x * 1.0
    h.fill_(2.0)
    return h * y


@program
def a_row_filled(x, y):
    h = x * y
    h[1].fill_(2.0)
    h[2].zero_()
    return h * h


@program
def a_diagonal(x, y):
    h = x * 1.0
    h.diagonal().mul_(y[:3])
    return h * h


@program
def a_masked_fill(x, y):
    h = x * y
    h.masked_fill_(h > 1.0, 0.25)
    return h * h


@program
def a_masked_fill_of_a_view(x, y):
    h = x * y
    h[:, 1:].masked_fill_(x[:, 1:] > 1.0, 0.25)
    return h * h


@program
def squeezed_views(x, y):
    h = x * 1.0
    v = h.unsqueeze(0).squeeze(0).view(12)
    v[3:7].mul_(2.0)
    return h * h * y


@program
def a_loop_over_rows(x, y):
    h = x * 0.0
    for i in range(3):
        h[i] = x[i] * y if i == 0 else h[i - 1].clone() * x[i]
    return h


@program
def clamp_relu_and_copy(x, y):
    h = x * 1.0
    h.sub_(1.0).relu_()
    k = h * 0.0
    k.copy_(h)
    k[0].copy_(y)
    return k * k


@program
def detach_in_between(x, y):
    h = x * y
    d = h.detach()
    h = h * 2.0
    d.mul_(3.0)
    return h * x


PYTORCH_REFUSES = ("multiply_a_tensor_by_itself", "a_view_changed_is_seen_by_its_base", "a_view_of_a_view_after_the_base_changed")


def leaves():
    rng = np.random.default_rng(7)
    return rng.uniform(0.5, 1.5, (3, 4)), rng.uniform(0.5, 1.5, 4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_by_finite_differences(name):
    x, y = (tg.tensor(a, requires_grad=True) for a in leaves())
    if PROGRAMS[name](x, y).requires_grad:
        def run(x, y):
            return PROGRAMS[name](x, y)
        if "detach" not in name and "without" not in name and "becomes" not in name:  # detach() hides a dependence from autograd
            assert gradcheck(run, [x, y])
            assert gradgradcheck(run, [x, y])


@pytest.mark.skipif(torch is None, reason="PyTorch, the optional oracle, is not installed")
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_against_pytorch(name):
    results = []
    if name in PYTORCH_REFUSES:
        pytest.skip("PyTorch refuses it: it does not keep the old value of an operand that is the tensor itself")
    for library, tensor in ((tg, lambda a: tg.tensor(a, requires_grad=True)), (torch, lambda a: torch.tensor(a, requires_grad=True))):
        x, y = (tensor(a) for a in leaves())
        out = PROGRAMS[name](x, y)
        first = library.autograd.grad((out * out).sum(), [x, y], create_graph=True, allow_unused=True)
        penalty = sum((g * g).sum() for g in first if g is not None)
        second = library.autograd.grad(penalty, [x, y], allow_unused=True) if penalty.requires_grad else (None, None)
        results.append([out, *first, *second])
    for ours, theirs in zip(*results, strict=True):
        ours = np.zeros(1) if ours is None else ours.detach().numpy()
        theirs = np.zeros(1) if theirs is None else theirs.detach().numpy()
        assert np.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- what is refused


def leaf(*shape):
    return tg.tensor(np.random.default_rng(0).uniform(0.5, 1.5, shape), requires_grad=True)


def test_leaves_and_views_of_leaves_are_refused():
    x = leaf(3, 4)
    for change in (
        lambda: x.add_(1.0), lambda: x[0].add_(1.0), lambda: x.__setitem__(0, 1.0), lambda: x.t()[1:].zero_(), lambda: x.fill_(0.0),
        lambda: x.view(-1).masked_fill_(tg.ones(12) > 0, 0.0), lambda: x.copy_(tg.zeros(3, 4)),
        lambda: x.scatter_(0, tg.zeros(1, 4).long(), 1.0),
    ):
        with pytest.raises(RuntimeError, match="leaf"):
            change()
    with tg.no_grad():
        x[0].add_(1.0)
        x[1] = 2.0
    assert x[1].tolist() == [2.0] * 4
    early = tg.zeros(3)
    v = early[0]
    early.requires_grad_()
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        v.fill_(1.0)


def test_views_made_without_gradients_are_refused_later():
    h = leaf(3) * 1.0
    with tg.no_grad():
        v = h[:2]
        v.mul_(1.0)
    with pytest.raises(RuntimeError, match="made under no_grad"):
        v.mul_(2.0)


def test_a_saved_tensor_changed_through_a_view_or_an_alias():
    for change in (lambda h: h[0].add_(1.0), lambda h: h.t().add_(1.0), lambda h: h.detach().add_(1.0), lambda h: h.__setitem__(0, 1.0)):
        h = leaf(3, 4) * 1.0
        out = (h * h).sum()
        change(h)
        with pytest.raises(RuntimeError, match=r"mul: a tensor of shape \(3, 4\) needed for its gradient was changed"):
            out.backward()


def test_data_is_not_counted():
    x = leaf(3)
    h = x * 1.0
    out = (h * h).sum()
    h.data.mul_(2.0)
    out.backward()
    assert np.allclose(x.grad.numpy(), 4 * x.detach().numpy())


def test_a_saved_view_is_guarded_too():
    h = leaf(3, 4) * 1.0
    v = h[0]
    out = (v * v).sum()
    h[2] = 0.0
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        out.backward()


def test_index_tensors_may_change_after_use():
    x = leaf(4)
    i = tg.tensor([0, 2])
    y = x[i] * 3.0
    i.fill_(1)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 0.0, 3.0, 0.0]


def test_results_must_fit_in_place():
    x = tg.zeros(3)
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\), which does not fit"):
        x.add_(tg.zeros(2, 3))
    with pytest.raises(RuntimeError, match="float32, which cannot be stored in place in int64"):
        tg.zeros(3, dtype=tg.int64).add_(1.5)
    i = tg.zeros(3, dtype=tg.int64)
    i[0] = 2.9
    i[1] = tg.tensor(-1.5)
    assert i.tolist() == [2, -1, 0]


def test_dtypes_of_assigned_gradients():
    x, h = tg.ones(3, requires_grad=True), tg.zeros(3, dtype=tg.float64)
    h[:] = x * 2.0
    (h * h).sum().backward()
    assert x.grad.dtype is tg.float32
    assert x.grad.tolist() == [8.0] * 3


def test_infinite_gradients_stay_where_they_are():
    """What was overwritten gets a zero gradient, also where the incoming one is infinite."""
    x = leaf(3)
    h = x * 1.0
    h[0:1].fill_(0.0)
    h.backward(tg.tensor([np.inf, 1.0, 2.0], dtype=tg.float64))
    assert x.grad.tolist() == [0.0, 1.0, 2.0]


def test_optimizer_like_updates_under_no_grad():
    w = leaf(2, 3)
    for _ in range(3):
        (w * w).sum().backward()
        with tg.no_grad():
            w.sub_(w.grad * 0.1)
            w.grad.zero_()
    assert w.is_leaf
    assert w._version == 3
