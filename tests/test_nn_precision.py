"""Every layer of test_nn's table in float32 and bfloat16, and the distribution its parameters start with, against PyTorch's.

A value or a gradient may be as far from float64's as twice PyTorch's own at that precision, and one rounding of the largest value (in
float32 1e-5 of it, the ops' own bound).
"""
from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn

torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
table = pytest.importorskip("test_nn")
CALLED, LAYERS, tensors = table.CALLED, table.LAYERS, table.tensors
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SURE = [x for x in CALLED if not any(word in x[0] for word in ("Dropout", "RReLU", "inplace=True"))]
ROUNDING = {"float32": 1e-5, "bfloat16": 2.0**-7}


def run(layer, arrays, make):
    """The outputs and the gradients of the first input and all parameters, in float64, by name."""
    leaves = [make(a) for a in arrays]
    if leaves[0].is_floating_point():
        leaves[0].requires_grad_()
    out = tensors(layer(*[leaves[[b is a for b in arrays].index(True)] for a in arrays]))
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=tuple(t.shape)) for t in out]
    sum((t * make(w)).sum() for t, w in zip(out, weights, strict=True) if t.requires_grad).backward()
    found = {f"output {i}": t for i, t in enumerate(out)} | {n: p.grad for n, p in layer.named_parameters()}
    found |= {"input": leaves[0].grad} if leaves[0].requires_grad else {}
    return {n: np.asarray(t.detach().double().numpy()) for n, t in found.items() if t is not None}


# In bfloat16 a sum of many terms near 0 falls to either side of relu's kink by chance.
TRIED = [(*x, kind) for x in SURE for kind in ROUNDING if kind == "float32" or "Transformer" not in x[0] or "gelu" in x[0]]


@pytest.mark.parametrize(("text", "inputs", "kind"), TRIED, ids=[f"{i}-{x[2]}-{x[0]}" for i, x in enumerate(TRIED)])
def test_error_against_float64(text, inputs, kind):
    torch.manual_seed(0)
    theirs = eval(text, vars(torch.nn)).to(getattr(torch, kind))
    exact = copy.deepcopy(theirs).double()
    ours = eval(text, vars(nn)).to(getattr(tg, kind))
    ours.load_state_dict({k: v.double().numpy() for k, v in theirs.state_dict().items()})
    rng, arrays = np.random.default_rng(0), []
    for make in inputs:
        a = np.asarray(make(rng))
        arrays.append(torch.tensor(a).to(getattr(torch, kind)).double().numpy() if a.dtype.kind == "f" else a)
    if text.startswith("MultiheadAttention") and len({id(f) for f in inputs}) == 1:
        arrays = arrays[:1] * 3
    here, there = getattr(tg, kind), getattr(torch, kind)
    true = run(exact, arrays, torch.tensor)
    try:
        want = run(theirs, arrays, lambda a: torch.tensor(a).to(there) if np.asarray(a).dtype.kind == "f" else torch.tensor(a))
    except (RuntimeError, NotImplementedError) as e:
        pytest.skip(f"PyTorch has no {kind} for it on the processor: {str(e)[:80]}")
    got = run(ours, arrays, lambda a: tg.tensor(a).to(here) if np.asarray(a).dtype.kind == "f" else tg.tensor(a))
    assert set(got) == set(want) == set(true)
    for name, t in true.items():
        limit = 2 * np.abs(want[name] - t).max(initial=0) + ROUNDING[kind] * np.abs(t).max(initial=0)
        assert np.abs(got[name] - t).max(initial=0) <= limit, name


def drawn(build, count):
    """Values of each parameter over `count` new layers."""
    layers = [build() for _ in range(count)]
    return {n: np.concatenate([dict(m.named_parameters())[n].detach().numpy().ravel() for m in layers])
            for n, _ in layers[0].named_parameters()}


WITH_PARAMETERS = [t for t in dict.fromkeys(x[0] for x in LAYERS) if not t.startswith("Lazy") and list(eval(t, vars(nn)).parameters())]


@pytest.mark.parametrize("text", WITH_PARAMETERS)
def test_initial_distribution(text):
    """Two samples of one distribution: Kolmogorov and Smirnov's distance."""
    tg.manual_seed(0)
    torch.manual_seed(0)
    first = dict(eval(text, vars(nn)).named_parameters())
    count = min(max(1, 800 // min(p.numel() for p in first.values())), 60)
    ours, theirs = (drawn(lambda m=m: eval(text, vars(m)), count) for m in (nn, torch.nn))
    assert list(ours) == list(theirs)
    for name, a in ours.items():
        b = theirs[name]
        if b.min() == b.max():
            assert np.array_equal(a, b), name
            continue
        both = np.sort(np.concatenate([a, b]))
        distance = np.abs(np.searchsorted(np.sort(a), both, "right") - np.searchsorted(np.sort(b), both, "right")).max() / len(a)
        assert distance <= 2.2 * np.sqrt(2 / len(a)), (name, distance)
