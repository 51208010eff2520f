"""Dropout on the device `emu` draws the bits of the CPU kernel."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.nn import functional as F
from tensorgrad.op import fn

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)

ONE_ROUNDING = {"float64": 3e-16, "float32": 2e-7, "float16": 1e-3, "bfloat16": 8e-3}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "run_dims"), [((1,), 0), ((5, 203), 0), ((3, 4, 5, 2), 2), ((0, 3), 0), ((2048,), 0)])
def test_the_same_elements_are_kept(shape, run_dims, dtype):
    x = tg.randn(*shape).to(getattr(tg, dtype))
    for i, state in enumerate([(0, 0), (2**63 + 5, 3), (7, 2**32 - 2)]):
        emu.configure(seed=i)
        for numbers in ((0.7, 1 / 0.7), (0.0, 0.0), (1.0, 1.0), (0.4, 1.5, 0.25, -1.5)):
            want = fn.drop(x, *numbers, run_dims=run_dims, state=state).numpy()
            with tg.kernels.use("drop", "cuda"):
                got = fn.drop(x.to("emu"), *numbers, run_dims=run_dims, state=state).numpy()
            np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=ONE_ROUNDING[dtype])
            np.testing.assert_array_equal(got == 0, want == 0)
    emu.configure(seed=0)


@pytest.mark.parametrize("device", ["cpu", "emu"])
@pytest.mark.parametrize(("shape", "dtype"), [((5, 203), "float32"), ((3, 4, 8), "bfloat16"), ((6, 10), "float64")])
def test_dropout_add_draws_the_zeros_of_dropout(shape, dtype, device):
    """Forward and backward, of the sum with a bias: the chain of three ops at the same state of the generator."""
    made = {}
    for name in ("chain", "fused"):
        rng = np.random.default_rng(0)
        x, residual, bias = (tg.tensor(rng.standard_normal(s), dtype=getattr(tg, dtype), device=device).requires_grad_()
                             for s in (shape, shape, shape[-1]))
        tg.manual_seed(5)
        y = residual + F.dropout(x + bias, 0.3) if name == "chain" else F.dropout_add(x, residual, bias, 0.3)
        y.backward(tg.ones_like(y))
        made[name] = [t.numpy().astype(np.float64) for t in (y.detach(), x.grad, residual.grad, bias.grad)]
    for got, want in zip(made["fused"], made["chain"], strict=True):
        np.testing.assert_allclose(got, want, rtol=4 * ONE_ROUNDING[dtype], atol=4 * ONE_ROUNDING[dtype])  # the chain rounds three times
    kept = F.dropout_add(x, residual, bias, 0.3, training=False)
    np.testing.assert_array_equal(kept.detach().numpy(), F.dropout_add(x, residual, bias, 0.0).detach().numpy())
