"""Every op on a GPU: what tests/test_emu_ops.py asks of the emulator, on the same cases with the same tolerances, of each family.

`python -m pytest -m gpu tests/test_gpu_ops.py -k triton` (or `cuda`, `cupy`) is one family; ops that no rung of a family serves run in
`test_the_default_kernels`.
"""
from __future__ import annotations

import pytest
from device_suite import (
    check_error,
    check_gradients,
    check_gradients_of_rung,
    check_rung,
    check_values,
    floating,
    has_reference,
    run_id,
    runs,
    with_dtypes,
)
from sampling import CASES, OPS

import tensorgrad as tg
from tensorgrad import dispatch

pytestmark = pytest.mark.gpu
if not tg.cuda.is_available():
    pytest.skip("needs a CUDA GPU, its driver and CuPy (tensorgrad doctor says what is missing)", allow_module_level=True)

KERNELS = [(OPS[name], k) for name, kernels in sorted(dispatch.kernels_of("cuda").items()) if name in OPS for k in kernels.values()]
RUNS = runs(KERNELS)
RIGHT = [(op, case) for op, case in CASES if case.error is None]


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if has_reference(r[0])], ids=run_id)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_default_kernels(op, case, dtype):
    if dtype == "bfloat16" and (op.composite or not floating(case)):
        pytest.skip("composite ops are made of the others, and other dtypes are asked once")
    check_values("cuda", op, case, dtype)


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if r[0].differentiable and r[0].name != "cpu"], ids=run_id)
def test_gradients_of_the_default_kernels(op, case):
    check_gradients("cuda", op, case, "float64")


@pytest.mark.parametrize(("op", "case", "kernel", "dtype"), with_dtypes(RUNS), ids=run_id)
def test_a_rung_matches_the_reference(op, case, kernel, dtype):
    check_rung("cuda", op, case, kernel, dtype)


@pytest.mark.parametrize(("op", "case", "kernel"), [r for r in RUNS if r[0].differentiable], ids=run_id)
def test_gradients_are_those_of_cpu(op, case, kernel):
    check_gradients_of_rung("cuda", op, case, kernel)


@pytest.mark.parametrize(("op", "case"), [c for c in CASES if c[1].error is not None], ids=run_id)
def test_wrong_calls_are_refused_in_the_same_words(op, case):
    check_error("cuda", op, case)
