"""autograd.Function: gradients of the user's own."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Function, Variable, gradcheck, gradgradcheck, once_differentiable


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * x * 3


def leaf(*values):
    return tg.tensor(list(values), dtype=tg.float64, requires_grad=True)


def test_first_and_second_derivative():
    x = leaf(1.0, -2.0, 3.0)
    assert gradcheck(Cube.apply, [x])
    assert gradgradcheck(Cube.apply, [x])


def test_saved_output_and_plain_attributes():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.scale = scale
            y = (x * scale).exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y * ctx.scale, None

    x = leaf(0.5, -1.0)
    assert gradcheck(lambda t: Exp.apply(t, 2.0), [x])
    assert gradgradcheck(lambda t: Exp.apply(t, 2.0), [x])


def test_setup_context():
    class Double(Function):
        @staticmethod
        def forward(x, by):
            return x * by

        @staticmethod
        def setup_context(ctx, inputs, output):
            _, ctx.by = inputs

        @staticmethod
        def backward(ctx, g):
            return g * ctx.by, None

    x = leaf(1.0, 2.0)
    Double.apply(x, 4).sum().backward()
    assert x.grad.tolist() == [4, 4]


class Split(Function):
    """x -> (2x, 3x), noting which gradients arrive."""

    seen: list = []

    @staticmethod
    def forward(ctx, x, materialize):
        ctx.set_materialize_grads(materialize)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, a, b):
        Split.seen.append((a is None, b is None))
        grads = [g * k for g, k in ((a, 2), (b, 3)) if g is not None]
        return sum(grads[1:], grads[0]), None


def test_several_outputs_and_missing_gradients():
    x = leaf(1.0)
    a, b = Split.apply(x, True)
    (a + b).sum().backward()
    assert x.grad.item() == 5
    x.grad = None
    Split.apply(x, True)[1].sum().backward()
    assert x.grad.item() == 3
    Split.apply(x, False)[0].sum().backward()
    assert Split.seen == [(False, False), (False, False), (False, True)]


def test_needs_input_grad():
    seen = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x, y, n):
            seen.append(ctx.needs_input_grad)
            return x * y

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g, g, None

    x, y = leaf(1.0), tg.ones(1, dtype=tg.float64)
    Both.apply(x, y, 3).backward()
    assert seen == [(True, False, False)] * 2
    assert y.grad is None
    with tg.no_grad():
        assert not Both.apply(x, y, 3).requires_grad
    assert seen[2] == (False, False, False)


def test_mark_non_differentiable():
    class Sorted(Function):
        @staticmethod
        def forward(ctx, x):
            sign = x * 0
            ctx.mark_non_differentiable(sign)
            return x * 1, sign

        @staticmethod
        def backward(ctx, g, unused):
            return g

    y, sign = Sorted.apply(leaf(1.0))
    assert y.requires_grad
    assert not sign.requires_grad


def test_mark_dirty():
    class AddOne(Function):
        @staticmethod
        def forward(ctx, x):
            x.array += 1
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf(1.0, 2.0)
    y = x * 1
    z = AddOne.apply(y)
    assert z is y
    assert y.tolist() == [2, 3]
    y.sum().backward()
    assert x.grad.tolist() == [10, 10]
    with pytest.raises(RuntimeError, match="leaf tensor"):
        AddOne.apply(leaf(1.0))


def test_dirty_and_needed_elsewhere_is_noticed():
    class Zero(Function):
        @staticmethod
        def forward(ctx, x):
            x.array[...] = 0
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 0

    x = leaf(1.0)
    y = x * 2
    z = y * y
    Zero.apply(y)
    with pytest.raises(RuntimeError, match="in-place"):
        z.backward()


def test_an_input_handed_through_is_another_tensor():
    class Pass(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 7

    x = leaf(1.0)
    y = Pass.apply(x)
    assert y is not x
    assert y.array is x.array
    y.backward()
    assert x.grad.item() == 7


def test_once_differentiable():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x * 2

    x = leaf(3.0)
    assert tg.autograd.grad(Square.apply(x), x)[0].item() == 6
    (g,) = tg.autograd.grad(Square.apply(x), x, create_graph=True)
    assert g.item() == 6
    with pytest.raises(RuntimeError, match="Square: its backward is marked once_differentiable"):
        g.backward()


@pytest.mark.parametrize(("returned", "kind", "message"), [
    (lambda g: (g,), RuntimeError, "backward returned 1 gradients, but forward has 2 arguments"),
    (lambda g: (g, None, g), RuntimeError, "backward returned 3 gradients, but forward has 2 arguments"),
    (lambda g: (g, g), RuntimeError, "gradient for argument 1, which is not a tensor"),
    (lambda g: (tg.ones(5, dtype=tg.float64), None), RuntimeError, r"gradient of shape \(5,\) for argument 0, which has shape \(2,\)"),
    (lambda g: (3.0, None), TypeError, "returned a float as gradient 0"),
])
def test_wrong_gradients_are_refused(returned, kind, message):
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x, n):
            return x * n

        @staticmethod
        def backward(ctx, g):
            return returned(g)

    with pytest.raises(kind, match=message):
        Wrong.apply(leaf(1.0, 2.0), 3).sum().backward()


def test_gradients_are_summed_and_converted_to_the_input():
    class Wide(Function):
        @staticmethod
        def forward(ctx, x):
            return x.expand(4, 2) * 1

        @staticmethod
        def backward(ctx, g):
            return g.to(tg.float64)

    x = tg.ones(1, 2, requires_grad=True)
    Wide.apply(x).sum().backward()
    assert x.grad.shape == (1, 2)
    assert x.grad.dtype is tg.float32
    assert x.grad.tolist() == [[4, 4]]


def test_misuse():
    with pytest.raises(RuntimeError, match=r"call Cube.apply\(...\)"):
        Cube()

    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return 3

    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)

    with pytest.raises(TypeError, match="output 0 of forward is a int"):
        Bad.apply(leaf(1.0))
    with pytest.raises(TypeError, match="save_for_backward: only tensors"):
        Saves.apply(leaf(1.0))


def test_graph_is_freed_and_variable_is_identity():
    x = leaf(2.0)
    y = Cube.apply(x)
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert np.isclose(x.grad.item(), 24)
    assert Variable(x) is x
