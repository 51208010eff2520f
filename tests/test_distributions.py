"""Distributions next to PyTorch's: what is computed agrees, what is drawn has the right mean, variance and gradients."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
import tensorgrad.distributions as D

A, B = [0.3, 1.5, 0.7], [1.2, 2.5, 3.0]
LOGITS = [[0.1, -1.0, 0.5], [2.0, 0.0, -0.3]]
MADE = [("Normal", (A, B), [0.1, 2.0, -1.0]), ("Uniform", (A, B), [0.5, 2.0, 1.0]), ("Exponential", (B,), [0.5, 2.0, 1.0]),
        ("Laplace", (A, B), [0.5, 2.0, -1.0]), ("Bernoulli", ([0.2, 0.5, 0.9],), [1.0, 0.0, 1.0]),
        ("Categorical", ([[0.2, 0.3, 0.5]] * 2,), [0, 2])]
ids = [m[0] for m in MADE]


def make(module, tensor, name, args):
    return getattr(module, name)(*[tensor(a) for a in args])


@pytest.mark.parametrize(("name", "args", "value"), MADE, ids=ids)
def test_agrees_with_pytorch(name, args, value):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    ours, theirs = make(D, tg.tensor, name, args), make(torch.distributions, torch.tensor, name, args)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert np.allclose(ours.log_prob(tg.tensor(value)).numpy(), theirs.log_prob(torch.tensor(value)).numpy(), atol=1e-6)
    for attribute in ("mean", "variance", "stddev", "mode"):
        if name == "Uniform" and attribute == "mode":
            continue
        assert np.allclose(getattr(ours, attribute).numpy(), getattr(theirs, attribute).numpy(), equal_nan=True), attribute
    assert np.allclose(ours.entropy().numpy(), theirs.entropy().numpy(), atol=1e-6)
    assert np.allclose(ours.perplexity().numpy(), theirs.perplexity().numpy(), atol=1e-5)
    if theirs.has_enumerate_support:
        assert ours.enumerate_support().tolist() == theirs.enumerate_support().tolist()
    else:
        assert np.allclose(ours.cdf(tg.tensor(value)).numpy(), theirs.cdf(torch.tensor(value)).numpy(), atol=1e-6)
        assert np.allclose(ours.icdf(tg.tensor([0.2, 0.5, 0.9])).numpy(), theirs.icdf(torch.tensor([0.2, 0.5, 0.9])).numpy(), atol=1e-5)
    other = [np.array(a) * 0.5 + 0.1 for a in args] if name != "Uniform" else [np.array(A) - 1, np.array(B) + 1]
    if name != "Laplace":
        q, r = (make(m, lambda a, t=t: t(a.tolist()), name, other) for m, t in ((D, tg.tensor), (torch.distributions, torch.tensor)))
        assert np.allclose(D.kl_divergence(ours, q).numpy(), torch.distributions.kl_divergence(theirs, r).numpy(), atol=1e-6)


@pytest.mark.parametrize(("name", "args", "value"), [m for m in MADE if m[0] != "Categorical"], ids=ids[:-1])
def test_samples_have_the_mean_and_variance(name, args, value):
    tg.manual_seed(0)
    d = make(D, tg.tensor, name, args)
    x = d.sample((20000,))
    assert x.shape == (20000, 3)
    assert not x.requires_grad
    assert np.allclose(x.mean(0).numpy(), d.mean.numpy(), atol=0.1)
    assert np.allclose(x.var(0).numpy(), d.variance.numpy(), rtol=0.1, atol=0.01)


def test_categorical_draws_in_proportion():
    tg.manual_seed(0)
    d = D.Categorical(logits=tg.tensor(LOGITS))
    x = d.sample((5000, 2))
    assert x.shape == (5000, 2, 2)
    assert x.dtype is tg.int64
    share = tg.stack([(x == k).float().mean((0, 1)) for k in range(3)], -1)
    assert np.allclose(share.numpy(), d.probs.numpy(), atol=0.02)
    assert d.sample().shape == (2,)


@pytest.mark.parametrize("name", ["Normal", "Uniform", "Laplace"])
def test_gradients_flow_through_rsample(name):
    a, b = tg.tensor(A, requires_grad=True), tg.tensor(B, requires_grad=True)
    getattr(D, name)(a, b).rsample((7,)).sum().backward()
    assert a.grad is not None
    assert b.grad.abs().sum().item() > 0


def test_independent_sums_over_dimensions():
    d = D.Independent(D.Normal(tg.zeros(4, 3), tg.ones(4, 3)), 1)
    assert (d.batch_shape, d.event_shape) == ((4,), (3,))
    x = d.rsample((2,))
    assert x.shape == (2, 4, 3)
    assert d.log_prob(x).shape == (2, 4)
    assert np.allclose(D.kl_divergence(d, D.Independent(D.Normal(tg.ones(4, 3), tg.ones(4, 3)), 1)).numpy(), 1.5)


def test_wrong_parameters_are_refused_by_name():
    for call, message in ((lambda: D.Normal(0.0, -1.0), "Normal: scale must be positive"),
                          (lambda: D.Uniform(1.0, 0.0), "Uniform: low must be below high"),
                          (lambda: D.Bernoulli(1.5), "Bernoulli: probs must be from 0 to 1"),
                          (lambda: D.Bernoulli(), "Bernoulli: give probs or logits"),
                          (lambda: D.Categorical(tg.ones(3)).log_prob(tg.tensor(3)), "Categorical: value must be a class, 0 to 2")):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(NotImplementedError, match="Bernoulli has no rsample"):
        D.Bernoulli(0.5).rsample()
    with pytest.raises(NotImplementedError, match="kl_divergence: no formula for Normal and Uniform"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Uniform(0.0, 1.0))
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
