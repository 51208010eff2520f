"""nn.init: moments, bounds, structure, generators and errors."""
from __future__ import annotations

import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn import init


def drawn(fn, *shape, **kwargs):
    """The values after `fn`, which must be unrecorded, in place and return the tensor."""
    t = nn.Parameter(tg.full(shape, float("nan")))
    assert fn(t, generator=tg.Generator().manual_seed(1), **kwargs) is t
    assert t.is_leaf
    assert t.requires_grad
    return t.detach().numpy().astype(np.float64)


def check_uniform(x, low, high):
    n = x.size
    assert low <= x.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < x.max() <= high
    assert abs(x.mean() - (low + high) / 2) < 5 * (high - low) / math.sqrt(12 * n)
    assert abs(x.std() / ((high - low) / math.sqrt(12)) - 1) < 5 / math.sqrt(n)


def check_normal(x, mean, std):
    n = x.size
    assert abs(x.mean() - mean) < 5 * std / math.sqrt(n)
    assert abs(x.std() / std - 1) < 5 / math.sqrt(n)
    z = np.sort((x.ravel() - mean) / std)
    expected = np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in z])
    assert np.abs(expected - (np.arange(n) + 0.5) / n).max() < 2 / math.sqrt(n)  # Kolmogorov-Smirnov


def test_uniform_and_normal():
    check_uniform(drawn(init.uniform_, 200, 100), 0, 1)
    check_uniform(drawn(init.uniform_, 200, 100, a=-3.0, b=2.0), -3, 2)
    check_normal(drawn(init.normal_, 200, 100), 0, 1)
    check_normal(drawn(init.normal_, 200, 100, mean=2.0, std=0.1), 2, 0.1)


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (-0.5, 1.5), (1.0, 3.0), (-10.0, -1.0), (8.5, 9.0)])
def test_trunc_normal(a, b):
    x = drawn(init.trunc_normal_, 200, 100, std=1.0, a=a, b=b)
    assert a <= x.min() <= x.max() <= b
    grid = np.linspace(a, b, 200001)
    density = np.exp(-grid * grid / 2)
    mean = (grid * density).sum() / density.sum()
    std = math.sqrt((grid**2 * density).sum() / density.sum() - mean**2)
    assert abs(x.mean() - mean) < 5 * std / math.sqrt(x.size)
    assert abs(x.std() / std - 1) < 5 / math.sqrt(x.size)


SHAPES = [((200, 100), 100, 200), ((40, 30, 5), 150, 200), ((20, 10, 3, 5), 150, 300)]  # shape, fan_in, fan_out


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
def test_xavier_and_kaiming(shape, fan_in, fan_out):
    bound = 2 * math.sqrt(6 / (fan_in + fan_out))
    check_uniform(drawn(init.xavier_uniform_, *shape, gain=2.0), -bound, bound)
    check_normal(drawn(init.xavier_normal_, *shape), 0, math.sqrt(2 / (fan_in + fan_out)))
    bound = math.sqrt(6 / fan_in)
    check_uniform(drawn(init.kaiming_uniform_, *shape), -bound, bound)
    bound = math.sqrt(3 / fan_in / 3)
    check_uniform(drawn(init.kaiming_uniform_, *shape, a=math.sqrt(5)), -bound, bound)
    check_normal(drawn(init.kaiming_normal_, *shape, mode="fan_out", nonlinearity="relu"), 0, math.sqrt(2 / fan_out))


def test_constants_eye_dirac():
    t = nn.Parameter(tg.empty(3, 4))
    assert init.constant_(t, 2.5).tolist() == [[2.5] * 4] * 3
    assert init.ones_(t).tolist() == [[1] * 4] * 3
    assert init.zeros_(t).tolist() == [[0] * 4] * 3
    assert np.array_equal(init.eye_(t).detach().numpy(), np.eye(3, 4))
    for shape, groups in (((4, 4, 3), 1), ((4, 2, 3, 3), 2), ((6, 2, 1, 3, 5), 3)):
        w = init.dirac_(nn.Parameter(tg.empty(*shape)), groups).detach().numpy()
        middle = w[(slice(None), slice(None), *[n // 2 for n in shape[2:]])]
        assert w.sum() == middle.sum() == groups * min(shape[0] // groups, shape[1])
        per_group = shape[0] // groups
        for g in range(groups):
            assert np.array_equal(middle[g * per_group:(g + 1) * per_group], np.eye(per_group, shape[1]))


@pytest.mark.parametrize("shape", [(7, 7), (12, 5), (5, 12), (6, 2, 2)])
def test_orthogonal(shape):
    x = drawn(init.orthogonal_, *shape, gain=2.0).reshape(shape[0], -1) / 2
    small = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    assert np.allclose(small, np.eye(len(small)), atol=1e-6)


def test_sparse():
    x = drawn(init.sparse_, 50, 40, sparsity=0.3, std=0.5)
    assert ((x == 0).sum(0) == 15).all()
    assert len({tuple(np.flatnonzero(c == 0)) for c in x.T}) > 30
    assert abs(x[x != 0].std() - 0.5) < 0.05


def test_generators():
    a = init.normal_(tg.empty(5), generator=tg.Generator().manual_seed(3)).tolist()
    tg.manual_seed(3)
    assert init.normal_(tg.empty(5)).tolist() == a
    assert init.normal_(tg.empty(5)).tolist() != a


def test_gains():
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("selu") == 0.75
    assert init.calculate_gain("conv2d") == 1
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    with pytest.raises(ValueError, match="there is no nonlinearity 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="negative_slope must be a number"):
        init.calculate_gain("leaky_relu", "steep")


def test_errors():
    v = tg.empty(3)
    for fn in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_, init.orthogonal_):
        with pytest.raises(ValueError, match=r"at least 2 dimensions.*\(3,\)"):
            fn(v)
    with pytest.raises(ValueError, match="a < b and a positive std"):
        init.trunc_normal_(v, a=1, b=0)
    with pytest.raises(ValueError, match="mode must be"):
        init.kaiming_normal_(tg.empty(3, 3), mode="fan_middle")
    with pytest.raises(ValueError, match="needs a tensor of 2 dimensions"):
        init.eye_(v)
    with pytest.raises(ValueError, match="3, 4 or 5 dimensions"):
        init.dirac_(v)
    with pytest.raises(ValueError, match="divisible by groups=2"):
        init.dirac_(tg.empty(3, 3, 3), 2)


def test_former_names():
    t = tg.empty(3, 3)
    with pytest.warns(FutureWarning, match=r"nn\.init\.eye is the former name of nn\.init\.eye_"):
        assert init.eye(t) is t
    assert t.tolist() == np.eye(3).tolist()


def test_empty_tensors():
    for fn in (init.kaiming_uniform_, init.kaiming_normal_, init.orthogonal_, init.uniform_, init.ones_):
        assert fn(tg.empty(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(dtype):
    for fn in (init.normal_, init.kaiming_uniform_, init.orthogonal_, init.trunc_normal_):
        t = fn(tg.zeros(16, 16, dtype=getattr(tg, dtype)))
        assert t.dtype is getattr(tg, dtype)
        assert t.numpy().astype(np.float64).std() > 0


def test_layers_start_as_pytorchs_do():
    """Uniform in +-1/sqrt(fan_in), weights and biases; norms at 1 and 0; embeddings normal."""
    tg.manual_seed(0)
    for layer, fan_in in ((nn.Linear(100, 200), 100), (nn.Conv1d(20, 60, 5), 100), (nn.Conv2d(8, 50, (5, 5), groups=2), 100),
                          (nn.ConvTranspose2d(30, 10, 5), 250), (nn.Bilinear(100, 20, 30), 100)):
        check_uniform(layer.weight.detach().numpy().astype(np.float64), -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        assert np.abs(layer.bias.detach().numpy()).max() <= 1 / math.sqrt(fan_in)
        assert layer.bias.detach().numpy().std() > 0.4 / math.sqrt(fan_in)
    check_normal(nn.Embedding(200, 100).weight.detach().numpy().astype(np.float64), 0, 1)
    for norm in (nn.BatchNorm2d(5), nn.LayerNorm(5), nn.GroupNorm(1, 5)):
        assert norm.weight.tolist() == [1] * 5
        assert norm.bias.tolist() == [0] * 5
    assert nn.PReLU(3).weight.tolist() == [0.25] * 3
