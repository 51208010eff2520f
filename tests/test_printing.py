"""Tensors print as PyTorch's do, with our name in the dtype and without the number behind the backward's name."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

rng = np.random.default_rng(0)
ARRAYS = {
    "scalar": np.array(1.5, np.float32), "int scalar": np.array(3), "whole": np.array([1.0, -2.0, 30.0], np.float32),
    "mixed": np.array([1.0, 2.5], np.float32), "tiny": np.array([1e-5, 1.0], np.float32), "huge": np.array([1e9, 1.0], np.float32),
    "wide": np.array([0.001, 100.0, 2.5], np.float32), "specials": np.array([np.nan, np.inf, -np.inf, 1.25], np.float32),
    "only specials": np.array([np.nan, np.inf], np.float32), "zeros": np.zeros((2, 3), np.float32), "bools": np.array([[True, False]]),
    "ints": np.array([[1, -200], [30, 4]]), "int32": np.arange(3, dtype=np.int32), "double": np.linspace(0, 1, 5),
    "matrix": rng.normal(size=(3, 4)).astype(np.float32), "cube": rng.normal(size=(2, 2, 3)).astype(np.float32),
    "4d": rng.normal(size=(2, 1, 2, 2)).astype(np.float32), "long line": np.arange(40, dtype=np.float32) * 1.5,
    "summary": np.arange(2000, dtype=np.float32), "summary 2d": rng.normal(size=(50, 50)).astype(np.float32),
    "summary flat": rng.normal(size=(2, 1000)), "empty": np.zeros(0, np.float32), "empty 2d": np.zeros((0, 3)),
    "empty int": np.zeros((2, 0), np.int64), "half": np.array([0.1, 2.0], np.float16), "uint8": np.arange(20, dtype=np.uint8),
    "one element": np.array([[[7.125]]], np.float32), "whole and inf": np.array([1.0, np.inf, 100.0], np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_as_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    a = ARRAYS[name]
    assert repr(tg.tensor(a)) == repr(torch.from_numpy(np.array(a))).replace("torch.", "tensorgrad.")
    if a.dtype.kind == "f":
        want = repr(torch.from_numpy(np.array(a)).requires_grad_()).replace("torch.", "tensorgrad.")
        assert repr(tg.tensor(a, requires_grad=True)) == want


def test_fixed_texts():
    assert repr(tg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(tg.tensor([[1, 2], [3, 40]])) == "tensor([[ 1,  2],\n        [ 3, 40]])"
    assert repr(tg.tensor([0.5], dtype=tg.float64)) == "tensor([0.5000], dtype=tensorgrad.float64)"
    assert repr(tg.tensor([True, False])) == "tensor([ True, False])"
    assert repr(tg.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(tg.tensor(1.5, dtype=tg.bfloat16)) == "tensor(1.5000, dtype=tensorgrad.bfloat16)"
    assert repr(tg.ones(1, requires_grad=True) + 1.0) == "tensor([2.], grad_fn=<AddBackward>)"
    assert repr(tg.tensor(3.0, requires_grad=True)) == "tensor(3., requires_grad=True)"
    assert f"{tg.tensor(1.23456):.2f}" == "1.23"


def test_print_options():
    try:
        tg.set_printoptions(precision=2, sci_mode=False)
        assert repr(tg.tensor([0.123456, 1e-6])) == "tensor([    0.12,     0.00])"
        tg.set_printoptions(profile="short", threshold=5, edgeitems=1)
        assert repr(tg.arange(10)) == "tensor([0,  ..., 9])"
    finally:
        tg.set_printoptions(profile="default")
    with pytest.raises(ValueError, match="no profile 'loud'; there are default, short, full"):
        tg.set_printoptions(profile="loud")
