"""Tensors from data, filled and ranged."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

CALLS = [
    ("tensor", ([1, 2],), {}), ("tensor", ([1.0, 2],), {}), ("tensor", (True,), {}), ("tensor", ([],), {}), ("tensor", ([[1], [2]],), {}),
    ("zeros", (2, 3), {}), ("zeros", ((2, 3),), {"dtype": "int32"}), ("ones", (), {"size": (2,)}), ("ones", (0, 2), {"dtype": "bool"}),
    ("full", ((2, 2), 7), {}), ("full", ((2,), 1.5), {}), ("full", ((1,), True), {}), ("full", ((2,), 3), {"dtype": "float64"}),
    ("arange", (5,), {}), ("arange", (5.0,), {}), ("arange", (2, 9, 3), {}), ("arange", (1, 0, -0.25), {}), ("arange", (0, 1, 0.1), {}),
    ("arange", (3, 3), {}), ("arange", (4,), {"dtype": "float16"}), ("linspace", (0, 1, 7), {}), ("linspace", (3.0, -1.0, 1), {}),
    ("linspace", (0, 5, 0), {}), ("logspace", (0, 2, 3), {}),
    ("logspace", (0, 3, 4), {"base": 2.0}), ("eye", (3,), {}), ("eye", (2, 4), {}),
    ("scalar_tensor", (3,), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS)
def test_as_pytorch(name, args, kwargs):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")

    def call(lib):
        return getattr(lib, name)(*args, **{k: getattr(lib, v) if k == "dtype" else v for k, v in kwargs.items()})

    ours, theirs = call(tg), call(torch)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6, atol=1e-7)


def test_values():
    assert tg.arange(2, 9, 3).tolist() == [2, 5, 8]
    assert tg.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert tg.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert tg.full((2,), 3).dtype is tg.int64
    a, b = tg.meshgrid(tg.arange(2), tg.arange(3), indexing="xy")
    assert a.tolist() == [[0, 1], [0, 1], [0, 1]]
    assert b.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_like_and_new_take_after_a_tensor():
    t = tg.ones(2, 3, dtype=tg.float64)
    for made in (tg.zeros_like(t), tg.full_like(t, 2), t.new_zeros(2, 3), t.new_full((2, 3), 4), tg.empty_like(t)):
        assert made.dtype is tg.float64
        assert made.shape == (2, 3)
    assert tg.zeros_like(t, dtype=tg.int8).dtype is tg.int8
    assert t.new_tensor([1, 2]).dtype is tg.float64


def test_tensor_copies_and_from_numpy_shares():
    a = np.zeros(3)
    copied, shared = tg.tensor(a), tg.from_numpy(a)
    a[0] = 5
    assert copied[0].item() == 0
    assert shared[0].item() == 5
    assert tg.as_tensor(shared) is shared


@pytest.mark.parametrize(("call", "kind", "message"), [
    (lambda: tg.tensor([[1], [2, 3]]), ValueError, "unequal lengths"),
    (lambda: tg.tensor("abc"), TypeError, "cannot make a tensor of str"),
    (lambda: tg.tensor([None]), TypeError, "elements of type object"),
    (lambda: tg.zeros(-1), RuntimeError, r"zeros: sizes must not be negative, got \(-1,\)"),
    (lambda: tg.zeros(2.5), TypeError, "zeros: size must be ints"),
    (lambda: tg.arange(0, 5, 0), RuntimeError, "arange: from 0 to 5 in steps of 0"),
    (lambda: tg.arange(0, 5, -1), RuntimeError, "goes nowhere"),
    (lambda: tg.from_numpy([1]), TypeError, "expected a NumPy array, got list"),
    (lambda: tg.from_numpy(np.zeros(2, np.complex64)), TypeError, "complex64 has no counterpart"),
    (lambda: tg.from_numpy(np.zeros(2, ">f4")), TypeError, "native byte order"),
    (lambda: tg.full((2,), "x"), TypeError, "fill_value must be a number"),
    (lambda: tg.zeros_like([1]), TypeError, "zeros_like: input must be a Tensor"),
    (lambda: tg.zeros(2, dtype="complex64"), TypeError, "no dtype 'complex64'"),
    (lambda: tg.eye(-2), RuntimeError, "eye: sizes must not be negative"),
    (lambda: tg.linspace(0, 1, -3), RuntimeError, "linspace: steps"),
    (lambda: tg.meshgrid(tg.ones(2, 2)), RuntimeError, "meshgrid: argument 0"),
])
def test_wrong_calls(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
