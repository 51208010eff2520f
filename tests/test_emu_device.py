"""The device `emu` through the ordinary op layer: real CUDA kernels inside models, on a machine without a GPU."""
from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch, nn
from tensorgrad.nn import functional as F

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


def train(device, dtype=tg.float32, steps=20):
    """Losses of a two-layer perceptron on a fixed regression problem."""
    rng = np.random.default_rng(0)
    make = [tg.tensor(rng.standard_normal(s).astype(np.float32) * scale, device=device, dtype=dtype)
            for s, scale in (((64, 20), 1), ((64, 3), 1), ((32, 20), 0.2), ((32,), 0.2), ((3, 32), 0.2), ((3,), 0.2))]
    x, y, *parameters = make
    for p in parameters:
        p.requires_grad_()
    losses = []
    for _ in range(steps):
        w1, b1, w2, b2 = parameters
        error = F.linear(F.linear(x, w1, b1).tanh(), w2, b2) - y
        loss = (error * error).mean()
        loss.backward()
        losses.append(loss.item())
        with tg.no_grad():
            for p in parameters:
                p -= 0.3 * p.grad
                p.grad = None
    return losses


@pytest.fixture
def ran(monkeypatch):
    """The matmul kernels chosen for emu."""
    paths = set()
    original = dispatch.choose

    def spy(op, device, *args):
        kernel = original(op, device, *args)
        if op.name == "matmul" and str(device) == "emu":
            paths.add(kernel.path)
        return kernel

    monkeypatch.setattr(dispatch, "choose", spy)
    dispatch._forget_choices()
    return paths


def test_an_mlp_reaches_the_cpu_loss(ran):
    want, got = train("cpu"), train("emu")
    assert ran == {"cuda/v07_double_buffered", "cuda/gemv"}  # three outputs are few: vectors
    assert got[-1] < 0.8 * got[0]
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.fixture
def claim():
    """Sets the compute capability that emu claims to have, for one test."""
    before = emu.chip()
    yield lambda chip: emu.configure(chip=chip)
    emu.configure(chip=before / 10)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("chip", [8.0, 8.9, 9.0, 12.0])
def test_an_mlp_trains_on_the_tensor_cores_of_the_chip(ran, claim, chip, dtype):
    claim(chip)
    want, got = train("cpu", steps=8), train("emu", getattr(tg, dtype), steps=8)
    large = ran - {"cuda/gemv"}
    kernels = dispatch.kernels_of("emu")["matmul"]
    if chip == 9.0:
        assert {kernels[path].chips for path in large} == {(90, 99)}  # a Hopper rung
    else:
        assert large == {"cuda/v08_tensor_core"}
    np.testing.assert_allclose(got, want, rtol=0.05)


@pytest.fixture
def launched(monkeypatch):
    """The products and convolutions that ran on emu, op and path, in order."""
    calls = []
    table = dispatch.kernels_of("emu")

    def spy(kernel):
        def call(*args):
            calls.append((kernel.op, kernel.path))
            kernel.call(*args)
        return dataclasses.replace(kernel, call=call)

    for name in ("matmul", "gemm", "conv2d", "conv2d_fused"):
        monkeypatch.setitem(table, name, {path: spy(k) if k.family == "cuda" else k for path, k in table[name].items()})
    dispatch._forget_choices()
    yield calls
    dispatch._forget_choices()


def mlp(activation, device):
    """A network of two layers with fixed parameters on a device, and an input."""
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 33), activation, nn.Linear(33, 17)).to(device), tg.randn(40, 20).to(device)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU()], ids=repr)
def test_a_layer_its_bias_and_its_activation_are_one_kernel(launched, activation):
    results = []
    for device in ("cpu", "emu"):
        model, x = mlp(activation, device)
        with tg.no_grad():
            y = model(x)
        assert launched == ([] if device == "cpu" else [("gemm", "cuda/v07_double_buffered")] * 2)
        (model(x) ** 2).mean().backward()
        results.append([y.numpy(), *[p.grad.numpy() for p in model.parameters()]])
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_an_mlp_with_bias_and_relu_trains_by_fused_kernels(launched):
    losses = {}
    for device in ("cpu", "emu"):
        model, x = mlp(nn.ReLU(), device)
        target = tg.tensor(np.random.default_rng(0).standard_normal((40, 17)).astype(np.float32), device=device)
        optimizer = tg.optim.SGD(model.parameters(), lr=0.2)
        losses[device] = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = ((model(x) - target) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses[device].append(loss.item())
    assert losses["emu"][-1] < 0.9 * losses["emu"][0]
    np.testing.assert_allclose(losses["emu"], losses["cpu"], rtol=1e-5)
    # A step: two fused products forward; backward the gradients of x (second layer only) and of both weights.
    assert collections.Counter(op for op, _ in launched) == {"gemm": 20, "matmul": 30}


def test_a_rung_without_an_epilogue_serves_a_whole_layer(launched):
    want_model, x = mlp(nn.ReLU(), "cpu")
    want = want_model(x).detach().numpy()
    model, x = mlp(nn.ReLU(), "emu")
    with tg.kernels.use("matmul", "cuda/v02_shared"):
        np.testing.assert_allclose(model(x).detach().numpy(), want, rtol=1e-5, atol=1e-6)
    assert launched == [("matmul", "cuda/v02_shared")] * 2


def test_hooks_and_subclasses_are_not_fused(launched):
    model, x = mlp(nn.ReLU(), "emu")
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.min().item()))
    model(x)
    assert seen[0] < 0  # the hook saw the sum before the activation


@pytest.mark.parametrize("layers", [
    lambda: [nn.BatchNorm2d(24), nn.ReLU()], lambda: [nn.BatchNorm2d(24, affine=False)], lambda: [nn.SiLU()],
], ids=["norm and relu", "norm alone", "silu"])
def test_a_convolution_and_what_follows_are_one_kernel_once_it_no_longer_learns(launched, layers):
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 24, 3, padding=1, bias=False), *layers(), nn.Conv2d(24, 5, 1))
    x = tg.randn(2, 8, 6, 7)
    model(x + 1)  # moves the statistics
    model.eval()
    want = model(x).detach().numpy()
    model, x = model.to("emu", dtype=tg.bfloat16), x.to("emu", dtype=tg.bfloat16)
    with tg.no_grad():
        got = model(x)
    assert launched == [("conv2d_fused", "cuda/v03_tensor_core"), ("conv2d", "cuda/v03_tensor_core")]
    assert np.linalg.norm(got.numpy().astype(np.float32) - want) < 1e-2 * np.linalg.norm(want)
    launched.clear()
    model(x).sum().backward()
    assert ("conv2d_fused", "cuda/v03_tensor_core") not in launched  # a gradient needs what lies between


def test_addmm_and_its_kin_are_one_kernel(launched):
    rng = np.random.default_rng(0)
    c, x, y = (tg.tensor(rng.standard_normal(s).astype(np.float32), device="emu") for s in ((40,), (30, 20), (20, 40)))
    got = tg.addmm(c, x, y, beta=0.5, alpha=2)
    np.testing.assert_allclose(got.numpy(), 0.5 * c.numpy() + 2 * (x.numpy() @ y.numpy()), rtol=1e-5, atol=1e-5)
    nothing = tg.full((40,), float("nan"), device="emu")
    assert np.isfinite(tg.addmm(nothing, x, y, beta=0).numpy()).all()
    got = tg.baddbmm(c, x.expand(2, 30, 20), y.expand(2, 20, 40), alpha=-1)
    np.testing.assert_allclose(got.numpy()[1], c.numpy() - x.numpy() @ y.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tg.addmv(x[:, 0], x, y[:, 0]).numpy(), x.numpy()[:, 0] + x.numpy() @ y.numpy()[:, 0], rtol=1e-5, atol=1e-5)
    assert launched == [("gemm", "cuda/v07_double_buffered")] * 3 + [("gemm", "cuda/gemv")]


@pytest.mark.parametrize(("shape", "dtype", "rung"), [
    ((64, 64, 64), "float32", "v07_double_buffered"), ((1, 64, 64), "float32", "gemv"), ((300, 8, 9), "float32", "gemv"),
    ((9, 9, 2000), "float32", "split_k"), ((9, 9, 2000), "bfloat16", "split_k"), ((9, 9, 2000), "float64", "v02_shared"),
    ((5, 9, 4000), "float64", "gemv"), ((9, 9, 400), "float32", "v07_double_buffered"), ((2, 3, 4), "float16", "gemv"),
])
def test_the_default_rung_fits_the_shape(ran, shape, dtype, rung):
    m, n, k = shape
    x, y = (tg.ones(*s, dtype=getattr(tg, dtype), device="emu") for s in ((m, k), (k, n)))
    assert (x @ y).numpy().astype(np.float64).tolist() == np.full((m, n), float(k)).tolist()
    assert ran == {f"cuda/{rung}"}


def test_a_whole_model_on_the_rung_the_user_picks(ran):
    with tg.kernels.use("matmul", "cuda/v00_naive"):
        np.testing.assert_allclose(train("emu", steps=3), train("cpu", steps=3), rtol=1e-5)
    assert ran == {"cuda/v00_naive"}


def test_tf32_is_never_a_default():
    x = tg.ones(3, 3, device="emu")
    assert dispatch.choose(dispatch._ops["matmul"], x.device, "float32", "large").path == "cuda/v07_double_buffered"
    a = tg.tensor([[1 + 2.0**-12]], device="emu")
    assert (a @ tg.ones(1, 1, device="emu")).item() == 1 + 2.0**-12
    for rung in ("cuda/v08_tensor_core_tf32", "cuda/v09_hopper_tf32"):
        with tg.kernels.use("matmul", rung):
            assert (a @ tg.ones(1, 1, device="emu")).item() == 1


def test_ops_without_a_cuda_kernel_run_with_their_cpu_kernel():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="emu")
    assert tg.cumsum(x, 1).device == tg.device("emu")
    np.testing.assert_array_equal(tg.cumsum(x, 1).numpy(), tg.cumsum(x.to("cpu"), 1).numpy())
    assert {k.family for k in tg.kernels.list(device="emu")} == {"cuda"}


def test_devices_do_not_mix():
    with pytest.raises(RuntimeError, match="matmul: input is on emu but other is on cpu"):
        tg.ones(2, 2, device="emu") @ tg.ones(2, 2)


def test_fresh_memory_is_poisoned():
    assert np.isnan(tg.empty(5, device="emu").numpy()).all()
