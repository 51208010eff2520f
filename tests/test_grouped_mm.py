"""grouped_mm next to PyTorch in float32, which is the widest dtype PyTorch takes; the op's cases are in tests/test_ops.py."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.nn import functional as F

torch = pytest.importorskip("torch", exc_type=ImportError)

SHAPES = [((12, 16), (3, 16, 8)), ((3, 8, 16), (16, 12)), ((16, 12), (12, 8)), ((3, 8, 16), (3, 16, 8))]


@pytest.mark.parametrize("offs", [(4, 8, 12), (1, 2, 12)], ids=str)  # of an empty group PyTorch leaves the product unset
@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_as_in_pytorch(a, b, offs):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in (a, b)]
    results = []
    for library, f in ((tg, F), (torch, torch.nn.functional)):
        x, y = (library.tensor(v, requires_grad=True) for v in arrays)
        out = f.grouped_mm(x, y, offs=None if len(a) == len(b) == 3 else library.tensor(np.array(offs, np.int32)))
        out.backward(library.tensor(np.random.default_rng(1).standard_normal(tuple(out.shape)).astype(np.float32)))
        results.append((out.detach().numpy(), x.grad.numpy(), y.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
