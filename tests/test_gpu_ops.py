"""Every op on a GPU: what tests/test_emu_ops.py asks of the emulator, on the same cases with the same tolerances, of each family.

`python -m pytest -m gpu tests/test_gpu_ops.py -k triton` (or `cuda`, `cupy`) is one family; ops that no rung of a family serves run in
`test_the_default_kernels`.
"""
from __future__ import annotations

import pytest
from device_suite import TOLERANCE, check_error, check_gradients, check_values, floating, has_reference, unless_refused
from sampling import CASES, OPS

import tensorgrad as tg
from tensorgrad import dispatch

pytestmark = pytest.mark.gpu
if not tg.cuda.is_available():
    pytest.skip("needs a CUDA GPU, its driver and CuPy (tensorgrad doctor says what is missing)", allow_module_level=True)

KERNELS = [(OPS[name], k) for name, kernels in sorted(dispatch.kernels_of("cuda").items()) if name in OPS for k in kernels.values()]
RUNS = [(served, case, kernel) for op, kernel in KERNELS for served in [op] + ([OPS[op.group]] if op.group in OPS else [])
        for case in served.cases() if case.error is None and floating(case)]
RIGHT = [(op, case) for op, case in CASES if case.error is None]


def run_id(a):
    return a.path if isinstance(a, dispatch.Kernel) else getattr(a, "name", repr(a))


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if has_reference(r[0])], ids=run_id)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_default_kernels(op, case, dtype):
    if dtype == "bfloat16" and (op.composite or not floating(case)):
        pytest.skip("composite ops are made of the others, and other dtypes are asked once")
    check_values("cuda", op, case, dtype)


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if r[0].differentiable and r[0].name != "cpu"], ids=run_id)
def test_gradients_of_the_default_kernels(op, case):
    check_gradients("cuda", op, case, "float64")


@pytest.mark.parametrize(("op", "case", "kernel", "dtype"),
                         [(*r, dtype) for r in RUNS for dtype in sorted(r[2].dtypes & set(TOLERANCE)) if has_reference(r[0])], ids=run_id)
def test_a_rung_matches_the_reference(op, case, kernel, dtype):
    with tg.kernels.use("*", kernel.path), unless_refused():
        check_values("cuda", op, case, dtype, kernel.path)


@pytest.mark.parametrize(("op", "case", "kernel"), [r for r in RUNS if r[0].differentiable], ids=run_id)
def test_gradients_are_those_of_cpu(op, case, kernel):
    dtype = next((d for d in TOLERANCE if d in kernel.dtypes), None)
    if dtype is None:
        pytest.skip(f"{kernel.path} has no floating dtype")
    with tg.kernels.use("*", kernel.path), unless_refused():
        check_gradients("cuda", op, case, dtype, kernel.path)


@pytest.mark.parametrize(("op", "case"), [c for c in CASES if c[1].error is not None], ids=run_id)
def test_wrong_calls_are_refused_in_the_same_words(op, case):
    check_error("cuda", op, case)
