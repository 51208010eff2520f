"""Every op on the device `cuda`, with the double of CuPy and the emulator in the GPU's place: whether the device layer and the ops ask for
what CuPy has, on arrays that are all on the device. What a GPU makes of it tests/test_gpu_ops.py asks.
"""
from __future__ import annotations

import cupy_double
import pytest
from device_suite import check_error, check_gradients, check_values, floating, has_reference
from sampling import CASES

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.fixture(scope="module", autouse=True)
def device():
    with cupy_double.installed(devices=2) as cupy:
        yield cupy


RIGHT = [(op, case) for op, case in CASES if case.error is None]


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if has_reference(r[0])], ids=lambda a: getattr(a, "name", repr(a)))
def test_values_are_those_of_the_reference(op, case):
    check_values("cuda", op, case, "float32")


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if has_reference(r[0]) and floating(r[1]) and not r[0].composite
                                          and getattr(r[0], "half", True)],
                         ids=lambda a: getattr(a, "name", repr(a)))  # composite ops are made of the others
def test_half_precision_too(op, case):
    check_values("cuda", op, case, "bfloat16")


@pytest.mark.parametrize(("op", "case"), [r for r in RIGHT if r[0].differentiable and r[0].name != "cpu"],
                         ids=lambda a: getattr(a, "name", repr(a)))
def test_gradients_are_those_of_cpu(op, case):
    check_gradients("cuda:1", op, case, "float64")  # which is not the current device


@pytest.mark.parametrize(("op", "case"), [c for c in CASES if c[1].error is not None], ids=lambda a: getattr(a, "name", repr(a)))
def test_wrong_calls_are_refused_in_the_same_words(op, case):
    check_error("cuda", op, case)
