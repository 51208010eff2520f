"""Every op that has CUDA kernels, on the emulator: each rung on the op's own cases, forward in each of its dtypes and backward.

Nothing here names an op: a kernel in `csrc/cuda` is tested by being there. Cases of the op whose choice of kernels another follows
(its `group`) are run on the rungs of both, and backward kernels are reached through the gradients of the op they serve.
A call is made in three orders of a block's threads, with asynchronous work late and at once.
`TRITON_INTERPRET=1 pytest tests/test_emu_ops.py` does the same with the Triton kernels, in Triton's interpreter.
"""
from __future__ import annotations

import pytest
from device_suite import TOLERANCE, check_error, check_gradients, check_values, floating, has_reference, unless_refused
from sampling import OPS

import tensorgrad as tg
from tensorgrad import dispatch, triton

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
ORDERS = ((0, False), (1, True), (2, False))  # seed of the thread order, whether asynchronous work happens at once
FAMILY = "triton" if triton.INTERPRETED else "cuda"
KERNELS = [(OPS[name], k) for name, kernels in sorted(dispatch.kernels_of("emu").items()) for k in kernels.values() if k.family == FAMILY]


def _runs():
    """(op, case, kernel) for every rung and case it may serve."""
    for op, kernel in KERNELS:
        for served in [op] + ([OPS[op.group]] if op.group in OPS else []):
            yield from ((served, case, kernel) for case in served.cases() if case.error is None)


def run_id(a):
    return a.path if isinstance(a, dispatch.Kernel) else getattr(a, "name", repr(a))


def in_each_order():
    """Goes round once an order of the threads; Triton's interpreter has one."""
    try:
        for seed, eager in ORDERS[:1] if triton.INTERPRETED else ORDERS:
            emu.configure(seed=seed, eager=eager)
            yield
    finally:
        emu.configure(seed=0, eager=False)


RUNS = [r for r in _runs() if floating(r[1])]
CHECKED = [(*r, dtype) for r in RUNS for dtype in sorted(r[2].dtypes & set(TOLERANCE)) if has_reference(r[0])]


@pytest.mark.parametrize(("op", "case", "kernel", "dtype"), CHECKED, ids=run_id)
def test_a_rung_matches_the_reference(op, case, kernel, dtype):
    with tg.kernels.use("*", kernel.path), unless_refused():
        for _ in in_each_order():
            check_values("emu", op, case, dtype, kernel.path)


@pytest.mark.parametrize(("op", "case", "kernel"), [r for r in RUNS if r[0].differentiable], ids=run_id)
def test_gradients_are_those_of_cpu(op, case, kernel):
    dtype = next((d for d in TOLERANCE if d in kernel.dtypes), None)
    if dtype is None:
        pytest.skip(f"{kernel.path} has no floating dtype")
    with tg.kernels.use("*", kernel.path), unless_refused():
        for _ in in_each_order():
            check_gradients("emu", op, case, dtype, kernel.path)


WRONG = sorted({(op.name, repr(case)): (op, case) for op, _ in KERNELS for case in op.cases() if case.error is not None}.items())


@pytest.mark.parametrize("key", range(len(WRONG)), ids=lambda i: " ".join(WRONG[i][0]))
def test_wrong_calls_are_refused_in_the_same_words(key):
    check_error("emu", *WRONG[key][1])
