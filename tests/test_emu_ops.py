"""Every op that has CUDA kernels, on the emulator: each rung on the op's own cases, forward in each of its dtypes and backward.

Nothing here names an op: a kernel in `csrc/cuda` is tested by being there. Cases of the op whose choice of kernels another follows
(its `group`) are run on the rungs of both, and backward kernels are reached through the gradients of the op they serve.
A call is made in three orders of a block's threads, with asynchronous work late and at once.
`TRITON_INTERPRET=1 pytest tests/test_emu_ops.py` does the same with the Triton kernels, in Triton's interpreter.
"""
from __future__ import annotations

import pytest
from device_suite import check_error, check_gradients_of_rung, check_rung, run_id, runs, with_dtypes
from planted import ORDERS
from sampling import OPS

from tensorgrad import dispatch, triton

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
FAMILY = "triton" if triton.INTERPRETED else "cuda"
KERNELS = [(OPS[name], k) for name, kernels in sorted(dispatch.kernels_of("emu").items()) for k in kernels.values() if k.family == FAMILY]


def in_each_order():
    """Goes round once an order of the threads; Triton's interpreter has one."""
    try:
        for seed, eager in ORDERS[:1] if triton.INTERPRETED else ORDERS:
            emu.configure(seed=seed, eager=eager)
            yield
    finally:
        emu.configure(seed=0, eager=False)


RUNS = runs(KERNELS)


@pytest.mark.parametrize(("op", "case", "kernel", "dtype"), with_dtypes(RUNS), ids=run_id)
def test_a_rung_matches_the_reference(op, case, kernel, dtype):
    check_rung("emu", op, case, kernel, dtype, in_each_order)


@pytest.mark.parametrize(("op", "case", "kernel"), [r for r in RUNS if r[0].differentiable], ids=run_id)
def test_gradients_are_those_of_cpu(op, case, kernel):
    check_gradients_of_rung("emu", op, case, kernel, in_each_order)


WRONG = sorted({(op.name, repr(case)): (op, case) for op, _ in KERNELS for case in op.cases() if case.error is not None}.items())


@pytest.mark.parametrize("key", range(len(WRONG)), ids=lambda i: " ".join(WRONG[i][0]))
def test_wrong_calls_are_refused_in_the_same_words(key):
    check_error("emu", *WRONG[key][1])
