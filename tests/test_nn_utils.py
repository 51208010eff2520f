"""nn.utils: parameters as one vector, weight and spectral normalisation, parametrizations, batch norms folded away; nn.parallel."""
from __future__ import annotations

import copy

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn.utils import parameters_to_vector, parametrizations, parametrize, remove_weight_norm, vector_to_parameters, weight_norm


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


NORMALISED = ["utils.spectral_norm(Linear(5, 4))", "utils.spectral_norm(Conv2d(3, 4, 2), n_power_iterations=2)",
              "utils.spectral_norm(ConvTranspose2d(3, 4, 2))", "utils.spectral_norm(Linear(5, 4), dim=1, eps=1e-6)",
              "utils.parametrizations.spectral_norm(Linear(5, 4))", "utils.parametrizations.spectral_norm(ConvTranspose1d(3, 4, 2), dim=0)",
              "utils.parametrizations.spectral_norm(Conv2d(3, 4, 2), 'bias')",
              "utils.parametrizations.spectral_norm(Conv2d(3, 4, 2), 'weight', 3)",
              "utils.parametrizations.weight_norm(Linear(5, 4))", "utils.parametrizations.weight_norm(Conv2d(3, 4, 2), 'weight', None)",
              "utils.parametrizations.weight_norm(ConvTranspose2d(3, 4, 2), dim=1)"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", NORMALISED)
def test_normalised_layers_agree_with_pytorch(text):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    m, t = eval(text, vars(nn)).double(), eval(text, vars(torch.nn)).double()
    state = {k: v.numpy() for k, v in t.state_dict().items()}
    assert list(m.state_dict()) == list(state)
    m.load_state_dict(state)
    assert repr(m) == repr(t)
    assert [n for n, _ in m.named_parameters()] == [n for n, _ in t.named_parameters()]
    x = np.random.default_rng(0).normal(size=(2, 5) if "Linear" in text else (2, 3, 5) if "1d" in text else (2, 3, 5, 5))
    for training in (True, True, False):
        m.train(training)
        t.train(training)
        a, b = m(tg.tensor(x)), t(torch.tensor(x))
        assert np.allclose(a.tolist(), b.tolist(), rtol=1e-9, atol=1e-12)
        m.zero_grad()
        t.zero_grad()
        a.square().sum().backward()
        b.square().sum().backward()
        for p, q in zip(m.parameters(), t.parameters(), strict=True):
            assert np.allclose(p.grad.tolist(), q.grad.tolist(), rtol=1e-8, atol=1e-11)
    for (name, p), q in zip(m.state_dict().items(), t.state_dict().values(), strict=True):
        assert np.allclose(p.tolist(), q.tolist()), name


def test_spectral_norm_comes_and_goes():
    m = nn.utils.spectral_norm(nn.Linear(5, 4))
    assert sorted(m.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    for _ in range(60):
        m(tg.ones(1, 5))
    assert np.isclose(np.linalg.norm(m.weight.detach().numpy(), 2), 1, atol=1e-4)
    with pytest.raises(RuntimeError, match="already"):
        nn.utils.spectral_norm(m)
    before = m(tg.ones(1, 5)).tolist()
    nn.utils.remove_spectral_norm(m)
    assert sorted(m.state_dict()) == ["bias", "weight"]
    assert np.allclose(m(tg.ones(1, 5)).tolist(), before, atol=1e-4)
    with pytest.raises(ValueError, match="has no spectral norm"):
        nn.utils.remove_spectral_norm(m)
    with pytest.raises(ValueError, match="n_power_iterations must be positive, got 0"):
        nn.utils.spectral_norm(m, n_power_iterations=0)
    with pytest.raises(ValueError, match="has no parameter 'w'"):
        nn.utils.spectral_norm(m, "w")


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T

    def right_inverse(self, x):
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2


def test_parametrizations():
    m = nn.Linear(3, 3)
    original = m.weight
    assert parametrize.register_parametrization(m, "weight", Symmetric()) is m
    assert type(m).__name__ == "ParametrizedLinear"
    assert isinstance(m, nn.Linear)
    assert parametrize.type_before_parametrizations(m) is nn.Linear
    assert np.allclose(m.weight.tolist(), np.array(m.weight.tolist()).T)
    assert list(m.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert parametrize.is_parametrized(m, "weight")
    assert not parametrize.is_parametrized(m, "bias")
    twin = copy.deepcopy(m)
    twin.weight = tg.eye(3)
    assert twin.weight.tolist() == np.eye(3).tolist()
    assert m.weight.tolist() != twin.weight.tolist()
    once = m.weight
    parametrize.register_parametrization(m, "weight", Doubled())
    assert np.allclose(m.weight.tolist(), (once * 2).tolist())
    with pytest.raises(RuntimeError, match="cannot be assigned: Doubled has no right_inverse"):
        m.weight = tg.eye(3)
    with parametrize.cached():
        assert m.weight is m.weight
    assert m.weight is not m.weight
    m(tg.ones(2, 3)).sum().backward()
    assert m.parametrizations.weight.original.grad is not None
    value = m.weight
    parametrize.remove_parametrizations(m, "weight")
    assert type(m) is nn.Linear
    assert isinstance(m.weight, nn.Parameter)
    assert m.weight.tolist() == value.tolist()
    assert list(m.state_dict()) == ["bias", "weight"]
    assert original.shape == (3, 3)
    parametrize.register_parametrization(twin, "bias", Doubled())
    other = copy.deepcopy(twin)
    parametrize.remove_parametrizations(other, "weight")
    assert isinstance(other.weight, nn.Parameter)
    assert other.bias.tolist() == twin.bias.tolist()
    assert twin.weight.tolist() == np.eye(3).tolist()
    with pytest.raises(ValueError, match="no parametrization of 'weight'"):
        parametrize.remove_parametrizations(m, "weight")
    with pytest.raises(ValueError, match="no parameter or buffer 'w'"):
        parametrize.register_parametrization(m, "w", Doubled())
    with pytest.raises(ValueError, match=r"made float32 of shape \(3, 1\) of float32 of shape \(3, 3\); unsafe=True allows it"):
        parametrize.register_parametrization(m, "weight", type("Narrow", (nn.Module,), {"forward": lambda self, x: x[:, :1]})())
    normalised = parametrizations.weight_norm(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="has 2 originals: leave_parametrized must be True"):
        parametrize.remove_parametrizations(normalised, "weight", leave_parametrized=False)


@pytest.mark.parametrize(("layer", "norm", "shape"), [
    (lambda: nn.Conv2d(3, 4, 3), lambda: nn.BatchNorm2d(4), (2, 3, 6, 6)), (lambda: nn.Conv1d(4, 6, 2, groups=2, bias=False),
    lambda: nn.BatchNorm1d(6, affine=False), (2, 4, 6)), (lambda: nn.Linear(3, 4), lambda: nn.BatchNorm1d(4), (5, 3)),
    (lambda: nn.ConvTranspose2d(3, 4, 3), lambda: nn.BatchNorm2d(4), (2, 3, 4, 4))])
def test_batch_norms_folded_into_the_layer_before(layer, norm, shape):
    tg.manual_seed(0)
    before, after = layer().double(), norm().double()
    transpose = isinstance(before, nn.ConvTranspose2d)
    for _ in range(3):
        after(before(tg.randn(*shape, dtype=tg.float64)))
    for p in after.parameters():
        nn.init.uniform_(p, 0.5, 1.5)
    with pytest.raises(RuntimeError, match="must be in evaluation"):
        nn.utils.fuse_conv_bn_eval(before, after)
    before.eval(), after.eval()
    fused = (nn.utils.fuse_linear_bn_eval(before, after) if isinstance(before, nn.Linear)
             else nn.utils.fuse_conv_bn_eval(before, after, transpose))
    x = tg.randn(*shape, dtype=tg.float64)
    assert type(fused) is type(before)
    assert np.allclose(fused(x).tolist(), after(before(x)).tolist())


def test_modules_without_drawn_weights():
    m = nn.utils.skip_init(nn.Linear, 3, 4, bias=False)
    assert m.weight.shape == (4, 3)
    with nn.init.skipped():
        assert nn.init.ones_(tg.zeros(3)).tolist() == [0, 0, 0]
    assert nn.init.ones_(tg.zeros(3)).tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="expected a class of modules"):
        nn.utils.skip_init(lambda: None)


def test_data_parallel_is_the_module():
    m = nn.DataParallel(nn.Linear(3, 4), device_ids=[0])
    assert list(m.state_dict()) == ["module.weight", "module.bias"]
    assert m(tg.ones(2, 3)).tolist() == m.module(tg.ones(2, 3)).tolist()
    with pytest.raises(NotImplementedError, match="there is one device"):
        nn.DataParallel(nn.Linear(3, 4), device_ids=[0, 1])


def test_former_name_of_clipping():
    p = nn.Parameter(tg.ones(4))
    (p * 3).sum().backward()
    with pytest.warns(FutureWarning, match="former name"):
        assert nn.utils.clip_grad_norm(p, 1.0).item() == 6
    assert np.isclose(p.grad.norm().item(), 1)
