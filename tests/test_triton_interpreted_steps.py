"""What the cases of optimizers and of clipping leave out of their Triton kernels, in Triton's interpreter: needs TRITON_INTERPRET=1."""
from __future__ import annotations

import cupy_double
import numpy as np
import pytest
import test_cuda_graphed_steps as graphed
import test_optimizer_ladder as ladder
from test_optim import CONFIGS, IDS

import tensorgrad as tg
from tensorgrad import dispatch, kernels, triton
from tensorgrad.nn.utils import clip_grad_norm_, get_total_norm

if triton.absent() or not triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process with TRITON_INTERPRET=1", allow_module_level=True)

PATH = "triton/v01_multi_tensor"
STEPS = {"AdamW": "adam_step"}  # where the op is not named as the optimizer


def has_rung(name):
    return PATH in dispatch.kernels_of("emu")[STEPS.get(name, f"{name.lower()}_step")]


HERE = [pytest.param(name, options, id=i) for (name, options), i in zip(CONFIGS, IDS, strict=True) if has_rung(name)]
SEVERAL = [p for p in HERE if p.values[1]][::2]


@pytest.mark.parametrize(("name", "options"), HERE)
def test_steps_are_those_of_the_processor(name, options):
    """Of whole chunks, of ends, of empty parameters and scalars."""
    with kernels.use("*", PATH):
        got = ladder.after("emu", name, options, "float32")
    ladder.close(got, ladder.after("cpu", name, options, "float32"), 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "options"), SEVERAL)
def test_half_precision_steps_are_those_of_the_processor(name, options, dtype):
    """One step: the interpreter cuts bfloat16 off instead of rounding it, and what several steps lose so adds up."""
    with kernels.use("*", PATH):
        got = ladder.after("emu", name, options, dtype, steps=1)
    ladder.close(got, ladder.after("cpu", name, options, dtype, steps=1), ladder.TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "options"), SEVERAL)
def test_masters_are_stepped_in_float32_and_parameters_are_their_rounding(name, options):
    kept = {}
    for device, path in (("emu", PATH), ("cpu", "cpu/fused")):
        params = ladder.parameters(device, "float16")
        optimizer = getattr(tg.optim, name)(params, master_weights=True, **options)
        with kernels.use("*", path) if device == "emu" else tg.no_grad():
            for step in range(3):
                ladder.set_gradients(params, step)
                optimizer.step()
        for p in params:
            assert np.array_equal(optimizer.state[p]["master"].to(tg.float16).numpy(), p.detach().numpy())
        kept[device] = [optimizer.state[p]["master"].numpy() for p in params]
    ladder.close(kept["emu"], kept["cpu"], 1e-6)


def test_more_parameters_than_a_table_and_places_that_are_no_multiple_of_16_bytes():
    ladder.test_more_parameters_than_a_table_and_places_that_are_no_multiple_of_16_bytes(PATH)


@pytest.mark.parametrize("name", [n for n, (kind, _) in graphed.OPTIMIZERS.items() if has_rung(kind.__name__)])
def test_replays_of_a_graph_take_the_numbers_of_their_day(name):
    """And the table that the graph keeps, on the double of CuPy: the bits of eager steps."""
    kind, options = graphed.OPTIMIZERS[name]
    with cupy_double.installed(), kernels.use("*", PATH):
        graphed.compare(lambda params: kind(params, **options), schedule=lambda o: tg.optim.lr_scheduler.StepLR(o, 2, 0.5))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf")])
def test_clipping_is_that_of_the_processor(dtype, norm_type):
    with kernels.use("*", "triton/clip"):
        ladder.test_clipping_is_that_of_the_processor(dtype, norm_type, 1)


def test_large_values_do_not_overflow_and_what_is_no_number_shows():
    with kernels.use("*", "triton/clip"):
        ladder.test_large_values_do_not_overflow_and_what_is_no_number_shows()


def test_norms_of_more_arrays_than_a_table():
    arrays = [tg.full((n % 5 + (20000 if n == 7 else 1),), 1.0 + n, device="emu") for n in range(300)]
    with kernels.use("*", "triton/clip"):
        got = [get_total_norm(arrays, p).item() for p in (2.0, float("inf"))]
    values = np.concatenate([a.numpy() for a in arrays]).astype(np.float64)
    np.testing.assert_allclose(got, [np.linalg.norm(values), values.max()], rtol=1e-6)


def test_clipping_is_captured_in_a_graph():
    with cupy_double.installed(), kernels.use("*", "triton/clip"):
        graphed.compare(lambda params: tg.optim.SGD(params, lr=0.1), clip=lambda params: clip_grad_norm_(params, 0.1))
