"""What users of PyTorch write without thinking, rightly and wrongly."""
from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorgrad as tg
import tensorgrad.nn.functional as F


def test_numpy_names_of_dim_and_keepdim():
    x = tg.arange(12.0).reshape(3, 4)
    assert x.sum(axis=1, keepdims=True).shape == (3, 1)
    assert tg.equal(x.max(axis=0).values, x.max(dim=0).values)
    assert tg.cat([x, x], axis=1).shape == (3, 8)
    assert x.mean(axis=None).shape == ()


def test_small_functions_and_attributes():
    x = tg.arange(12.0).reshape(3, 4)
    assert tg.numel(x) == 12
    assert tg.is_floating_point(x)
    assert x.ndimension() == 2
    assert (+x) is x
    assert tg.zeros(2, dtype=float).dtype is tg.float64


def test_storage_offset_counts_from_the_start_of_the_memory():
    x = tg.arange(12.0).reshape(3, 4)
    assert [t.storage_offset() for t in (x, x[1:], x[1, 2:], x.t()[2], x.flip(0))] == [0, 4, 6, 2, 0]
    assert tg.from_numpy(np.arange(5)[::-1])[1:].storage_offset() == 3


def test_a_copied_tensor_shares_memory_and_counts_changes_with_it():
    x = tg.arange(3.0)
    y = copy.copy(x)
    y.add_(1)
    assert x.tolist() == [1.0, 2.0, 3.0]
    assert x._version == 1


def test_retain_grad_sees_the_gradient_after_all_hooks_and_once():
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.retains_grad
    assert y.grad.tolist() == [10.0, 10.0]
    assert x.grad.tolist() == [20.0, 20.0]
    with pytest.raises(RuntimeError, match=r"retain_grad: this tensor of shape \(2,\) does not require grad"):
        tg.ones(2).retain_grad()


@pytest.mark.parametrize(("value", "error"), [(tg.ones(4), RuntimeError), (tg.ones(3, dtype=tg.float64), RuntimeError), ("a", TypeError)])
def test_a_gradient_that_does_not_fit_is_refused(value, error):
    x = tg.ones(3, requires_grad=True)
    with pytest.raises(error, match="grad: "):
        x.grad = value
    assert x.grad is None


@pytest.mark.parametrize("leaf", [True, False])
def test_what_a_hook_returns_must_fit(leaf):
    for wrong, error in ((lambda g: g[:1], RuntimeError), (lambda g: "a", TypeError)):
        x = tg.ones(3, requires_grad=True)
        y = x * 2
        (x if leaf else y).register_hook(wrong)
        with pytest.raises(error, match="register_hook: a hook"):
            y.sum().backward()
    x = tg.ones(3, requires_grad=True)
    x.register_hook(lambda g: g.double())
    x.sum().backward()
    assert x.grad.dtype is tg.float32


def test_relu_passes_the_gradient_at_nan():
    x = tg.tensor([-1.0, float("nan"), 2.0], requires_grad=True)
    F.relu(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0]


WRONG = [
    (lambda x: x.softmax("a"), "softmax: dim must be an int, not 'a'"),
    (lambda x: x.sum(1.0), "sum: dim must be an int, not 1.0"),
    (lambda x: x.sum("a"), "sum: dim must be an int, not 'a'"),
    (lambda x: tg.where(x > 0, x, "a"), "where: other must be"),
    (lambda x: x.clamp("a"), "clamp: min must be"),
    (lambda x: x.fill_("a"), "fill_: value must be"),
    (lambda x: F.leaky_relu(x, "a"), "leaky_relu: negative_slope must be a number, not 'a'"),
    (lambda x: tg.cat(x), "cat: expected a list of tensors, not one tensor"),
    (lambda x: tg.stack(x), "stack: expected a list of tensors, not one tensor"),
    (lambda x: x.clone().requires_grad_().sum().backward("a"), "backward: a gradient must be a Tensor or None, not a str"),
    (lambda x: tg.manual_seed("a"), "manual_seed: the seed must be an integer, not 'a'"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[m for _, m in WRONG])
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(TypeError) as caught:
        call(tg.ones(2, 3))
    assert message in str(caught.value)


def test_sums_keep_their_digits_in_any_layout():
    x = tg.rand(400, 301, 7)
    for t in (x.permute(2, 0, 1), x.permute(2, 1, 0), x[:, :, :2], x.permute(1, 2, 0)[:, ::2]):
        wide = t.double()
        for dims in ((1, 2), (0, 2), (0, 1), (0, 1, 2), 1):
            for name in ("sum", "mean", "var", "norm"):
                got, want = getattr(t, name)(dim=dims).double(), getattr(wide, name)(dim=dims)
                assert ((got - want).norm() / want.norm()).item() < 2e-6, (name, dims, t.stride())


def test_fields_of_structured_arrays_are_refused():
    """Strides of 5 bytes are no whole float32: a kernel would read between the elements."""
    field = np.zeros(40, dtype=[("a", "f4"), ("b", "i1")])["a"]
    with pytest.raises(ValueError, match=r"from_numpy: strides of \(5,\) bytes are no whole elements of 4 bytes"):
        tg.from_numpy(field)
    assert tg.tensor(field).exp().tolist() == [1.0] * 40
