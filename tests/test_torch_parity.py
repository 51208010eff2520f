"""Every op that PyTorch has too, on the op's own cases: same shapes, dtypes, values and gradients; wrong calls refused by both.

PyTorch is an optional oracle: without it these tests are skipped, and `test_ops.py` still proves the maths.
"""
from __future__ import annotations

import operator

import numpy as np
import pytest
from sampling import CASES, call, case_id, leaf, outputs, realise, relative_error, rng_for, tensors_in

import tensorgrad as tg
from tensorgrad.dtypes import dtype as DType

torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")


def twin(op):
    """PyTorch's function for an op, or None."""
    if op.torch_name == "":
        return None
    if op.torch_name:
        found = torch
        for part in op.torch_name.split("."):
            found = getattr(found, part)
        return found
    if op.places and not op.function:
        return operator.attrgetter(op.places[0])(torch)
    for place in (torch.nn.functional,) if op.functional and not op.function else (torch, torch.nn.functional, torch.Tensor):
        if callable(getattr(place, op.name, None)):
            return getattr(place, op.name)
    return None


PAIRS = [(op, case) for op, case in CASES if twin(op) is not None]
GOOD = [p for p in PAIRS if p[1].error is None and p[1].torch]
WRONG = [p for p in PAIRS if p[1].error is not None and p[1].torch]


def to_torch(a):
    """The same argument for PyTorch."""
    if isinstance(a, tg.Tensor):
        t = torch.from_numpy(np.array(a.detach().numpy()))
        return t.requires_grad_() if a.requires_grad else t
    if isinstance(a, DType):
        return getattr(torch, a.name)
    if isinstance(a, list) and any(isinstance(x, tg.Tensor) for x in a):
        return [to_torch(x) for x in a]
    return tuple(a) if isinstance(a, list) else a


def both(pair, dtype=None):
    """(our arguments, PyTorch's arguments)."""
    op, case = pair
    args, kwargs = realise(case, rng_for(op, case), leaf(dtype))
    theirs = [to_torch(a) for a in args], {k: to_torch(v) for k, v in kwargs.items()}
    return (args, kwargs), theirs


def run_torch(op, args, kwargs):
    fn = twin(op)
    return fn(args[0].clone(), *args[1:], **kwargs) if op.mutates else fn(*args, **kwargs)


@pytest.mark.parametrize("pair", GOOD, ids=case_id)
def test_forward_and_gradient(pair):
    op, _ = pair
    (args, kwargs), (targs, tkwargs) = both(pair)
    ours = outputs(call(op, args, kwargs))
    theirs = run_torch(op, targs, tkwargs)
    theirs = [t for t in (theirs if isinstance(theirs, (tuple, list)) else (theirs,)) if isinstance(t, torch.Tensor)]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        assert a.dtype.name == str(b.dtype).removeprefix("torch.")
        assert relative_error(a.detach().numpy(), b.detach().numpy()) <= 1e-10
    tracked = [(a, b) for a, b in zip(ours, theirs, strict=True) if b.requires_grad]
    assert [a.requires_grad for a in ours] == [b.requires_grad for b in theirs]
    if not tracked:
        return
    seeds = [np.random.default_rng(i).uniform(0.5, 1.5, tuple(a.shape)) for i, (a, _) in enumerate(tracked)]
    tg.autograd.backward([a for a, _ in tracked], [tg.tensor(s) for s in seeds])
    torch.autograd.backward([b for _, b in tracked], [torch.from_numpy(np.asarray(s)) for s in seeds])
    for a, b in zip(tensors_in(args, kwargs), _tensors(targs, tkwargs), strict=True):
        ga = np.zeros(a.shape) if a.grad is None else a.grad.numpy()
        gb = np.zeros(tuple(b.shape)) if b.grad is None else b.grad.numpy()
        assert relative_error(ga, gb) <= 1e-9


def _tensors(args, kwargs):
    for a in [*args, *kwargs.values()]:
        for t in a if isinstance(a, list) else [a]:
            if isinstance(t, torch.Tensor):
                yield t


@pytest.mark.parametrize("pair", WRONG, ids=case_id)
def test_pytorch_refuses_the_same_calls(pair):
    op, _ = pair
    _, (targs, tkwargs) = both(pair, "float32")
    with pytest.raises((RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)):
        run_torch(op, targs, tkwargs)
