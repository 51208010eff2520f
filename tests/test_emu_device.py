"""The device `emu` through the ordinary op layer: real CUDA kernels inside models, on a machine without a GPU."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


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
    assert ran == {"cuda/v07_double_buffered"}
    assert got[-1] < 0.8 * got[0]
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_an_mlp_trains_on_tensor_cores(ran, dtype):
    want, got = train("cpu"), train("emu", getattr(tg, dtype))
    assert ran == {"cuda/v08_tensor_core"}
    np.testing.assert_allclose(got, want, rtol=0.05)


def test_a_whole_model_on_the_rung_the_user_picks(ran):
    with tg.kernels.use("matmul", "cuda/v00_naive"):
        np.testing.assert_allclose(train("emu", steps=3), train("cpu", steps=3), rtol=1e-5)
    assert ran == {"cuda/v00_naive"}


def test_tf32_is_never_a_default():
    x = tg.ones(3, 3, device="emu")
    assert dispatch.choose(dispatch._ops["matmul"], x.device, "float32").path == "cuda/v07_double_buffered"
    a = tg.tensor([[1 + 2.0**-12]], device="emu")
    assert (a @ tg.ones(1, 1, device="emu")).item() == 1 + 2.0**-12
    with tg.kernels.use("matmul", "cuda/v08_tensor_core_tf32"):
        assert (a @ tg.ones(1, 1, device="emu")).item() == 1


def test_ops_without_a_cuda_kernel_run_with_their_cpu_kernel():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="emu")
    assert tg.softmax(x, 1).device == tg.device("emu")
    np.testing.assert_array_equal(tg.softmax(x, 1).numpy(), tg.softmax(x.to("cpu"), 1).numpy())
    assert {k.family for k in tg.kernels.list(device="emu")} == {"cuda"}


def test_devices_do_not_mix():
    with pytest.raises(RuntimeError, match="matmul: input is on emu but other is on cpu"):
        tg.ones(2, 2, device="emu") @ tg.ones(2, 2)


def test_fresh_memory_is_poisoned():
    assert np.isnan(tg.empty(5, device="emu").numpy()).all()
