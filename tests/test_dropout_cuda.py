"""Dropout on the device `emu` draws the bits of the CPU kernel."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
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
