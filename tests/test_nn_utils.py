"""nn.utils: parameters as one vector, weight normalisation."""
from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn.utils import parameters_to_vector, remove_weight_norm, vector_to_parameters, weight_norm


def test_parameters_as_a_vector():
    m = nn.Sequential(nn.Linear(3, 4), nn.PReLU())
    v = parameters_to_vector(m.parameters())
    assert v.shape == (17,)
    vector_to_parameters(v.detach() * 2, m.parameters())
    assert np.allclose(parameters_to_vector(m.parameters()).tolist(), (v * 2).tolist())
    with pytest.raises(ValueError, match="17 elements; expected a vector of as many, got 16 elements"):
        vector_to_parameters(v[1:], m.parameters())


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim):
    tg.manual_seed(0)
    plain = nn.Linear(3, 4).double()
    m = weight_norm(copy.deepcopy(plain), dim=dim)
    assert list(m.state_dict()) == ["bias", "weight_g", "weight_v"]
    assert m.weight_g.shape == {0: (4, 1), 1: (1, 3), None: ()}[dim]
    x = tg.rand(2, 3, dtype=tg.float64)
    assert np.allclose(m(x).tolist(), plain(x).tolist())
    m(x).sum().backward()
    assert m.weight_g.grad is not None
    with tg.no_grad():
        m.weight_g.mul_(2)
    assert np.allclose((m(x) - m.bias).tolist(), ((plain(x) - plain.bias) * 2).tolist())
    remove_weight_norm(m)
    assert sorted(m.state_dict()) == ["bias", "weight"]
    assert not hasattr(m, "weight_g")
    assert np.allclose(m.weight.tolist(), (plain.weight * 2).tolist())
    with pytest.raises(ValueError, match="has no weight norm"):
        remove_weight_norm(m)
    with pytest.raises(ValueError, match="has no parameter 'w'"):
        weight_norm(m, "w")
    weight_norm(m)
    with pytest.raises(RuntimeError, match="already"):
        weight_norm(m)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weight_norm_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    m, t = weight_norm(nn.Conv2d(3, 4, 3).double()), torch.nn.utils.weight_norm(torch.nn.Conv2d(3, 4, 3).double())
    m.load_state_dict({k: v.numpy() for k, v in t.state_dict().items()})
    assert list(m.state_dict()) == list(t.state_dict())
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    a, b = m(tg.tensor(x)), t(torch.tensor(x))
    a.square().sum().backward()
    b.square().sum().backward()
    for p, q in zip(m.parameters(), t.parameters(), strict=True):
        assert np.allclose(p.grad.tolist(), q.grad.tolist())
