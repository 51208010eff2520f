"""What a matmul rung cannot do it says before the launch: the dtype, shape or chip at fault, and what does support it."""
from __future__ import annotations

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
CALLS = {(op, path): call for op, path, _, _, _, call, *_ in emu.ext.kernels()}  # as compiled
BIG = 2**30 + 1


@pytest.fixture
def chip():
    """Sets the compute capability that emu claims to have, for one test."""
    yield lambda number: emu.configure(chip=number)
    emu.configure(chip=9.0)


def constant(*shape, dtype=np.float32):
    """An array of any size in the memory of one element."""
    return np.lib.stride_tricks.as_strided(np.ones(1, dtype), shape, (0,) * len(shape))


@pytest.mark.parametrize(("path", "dtype", "message"), [
    ("cuda/v09_hopper", "float32", r"matmul on emu: cuda/v09_hopper was asked for by kernels.use, but cuda/v09_hopper does not compute "
                                   r"float32 \(it computes bfloat16, float16\); what does: cuda/\w+, .*cuda/v07_double_buffered"),
    ("cuda/v07_double_buffered", "bfloat16", r"does not compute bfloat16 \(it computes float32\); what does: cuda/\w+, .*v08_tensor_core"),
    ("cuda/v02_shared", "int64", r"does not compute int64 \(it computes float32, float64\); what does: cpu/numpy"),
    ("cuda/split_k", "float64", r"does not compute float64 .*; what does: cuda/gemv, .*cuda/v02_shared"),
])
@pytest.mark.parametrize("call", [lambda x: x @ x, lambda x: tg.addmm(x, x, x) if x.dtype.is_floating_point else x @ x],
                         ids=["matmul", "addmm"])
def test_a_dtype(path, dtype, message, call):
    x = tg.ones(64, 64, dtype=getattr(tg, dtype), device="emu")
    with tg.kernels.use("matmul", path), pytest.raises(NotImplementedError, match=message):
        call(x)


def test_by_the_environment():
    code = "import tensorgrad as tg; x = tg.ones(3, 3, device='emu'); x @ x"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "TG_KERNELS": "matmul=cuda/v09_hopper", "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 1
    assert "matmul on emu: cuda/v09_hopper was asked for by TG_KERNELS, but cuda/v09_hopper does not compute float32" in done.stderr


@pytest.mark.parametrize(("number", "path", "dtype", "need"), [
    (8.0, "cuda/v09_hopper", "bfloat16", "9.0 to 9.9"), (10.0, "cuda/v09_hopper", "float16", "9.0 to 9.9"),
    (8.0, "cuda/v09_hopper_tf32", "float32", "9.0 to 9.9"),
    (7.5, "cuda/v08_tensor_core", "bfloat16", "8.0 or newer"), (7.5, "cuda/v08_tensor_core_tf32", "float32", "8.0 or newer"),
])
def test_a_chip(chip, number, path, dtype, need):
    chip(number)
    x = tg.ones(64, 64, dtype=getattr(tg, dtype), device="emu")
    with tg.kernels.use("matmul", path), pytest.raises(
            NotImplementedError, match=f"{path} needs compute capability {need}, but emu has {number}; what does: cuda/gemv"):
        _ = x @ x
    for op, more in (("matmul", ()), ("gemm", (None, None, 1.0, 0.0, 0))):  # and where nobody asked dispatch
        with pytest.raises(ValueError, match=rf"{op} \({path}\): needs compute capability {need}, but this chip has {number}"):
            CALLS[op, path](x.numpy(), x.numpy(), x.numpy(), *more)


def test_a_chip_that_cannot_be():
    with pytest.raises(ValueError, match=r"emu.configure: chip must be a compute capability such as 8.0 or 9.0, not 90"):
        emu.configure(chip=90)


@pytest.mark.parametrize("path", sorted(path for op, path in CALLS if op == "matmul"))
def test_a_kernel_called_by_hand(path):
    more = [np.empty((2, 4), np.float32)] if path == "cuda/split_k" else []
    kernel, call = dispatch.kernels_of("emu")["matmul"][path], CALLS["matmul", path]
    for dtype in (np.int32, np.float32, np.float64, ml_dtypes.bfloat16):
        x = np.ones((2, 2), dtype)
        if x.dtype.name not in kernel.dtypes:
            with pytest.raises(ValueError, match=rf"matmul \({path}\): computes .*, not {x.dtype.name}"):
                call(x, x, x, *more)
    x, other = (np.ones((2, 2), getattr(np, name, getattr(ml_dtypes, name, None))) for name in (sorted(kernel.dtypes)[0], "int8"))
    with pytest.raises(ValueError, match=rf"matmul \({path}\): computes .*, not int8"):
        call(x, x, other, *more)
    with pytest.raises(ValueError, match="the last two dimensions of the operands and the result do not fit each other"):
        call(x, x, x[:1], *more)
    with pytest.raises(ValueError, match="multiplies matrices, not vectors"):
        call(x, x, x[0], *more)


@pytest.mark.parametrize("path", ["cuda/v00_naive", "cuda/v07_double_buffered", "cuda/gemv", "cuda/v08_tensor_core_tf32"])
def test_a_size(path):
    call = CALLS["matmul", path]
    with pytest.raises(ValueError, match=rf"matmul \({path}\): a dimension of {BIG} is beyond 2\^30"):
        call(constant(1, 1), constant(1, BIG), constant(BIG, 1))
    with pytest.raises(ValueError, match=f"a dimension of {BIG} is beyond"):
        call(constant(BIG, 2), constant(BIG, 3), constant(3, 2))
    with pytest.raises(ValueError, match="5 batch dimensions are more than 4; reshape the operands first"):
        call(*[constant(1, 1, 1, 1, 1, 2, 2)] * 3)
    if path != "cuda/gemv":  # numbers of tiles that no int holds
        with pytest.raises(ValueError, match="the result has more tiles than a grid has blocks"):
            call(constant(2**30, 2**30), constant(2**30, 1), constant(1, 2**30))


def test_batch_dimensions_through_the_op():
    x = tg.ones(1, 2, 1, 2, 1, 9, 9, device="emu")
    with pytest.raises(ValueError, match=r"matmul \(cuda/v07_double_buffered\): 5 batch dimensions are more than 4"):
        _ = x @ x


def test_an_addend_that_does_not_fit():
    x = np.ones((3, 4), np.float32)
    call = CALLS["gemm", "cuda/v07_double_buffered"]
    wrong = (np.ones(3, np.float32), np.ones((1, 3, 4), np.float32), np.ones(4), np.ones((2, 4), np.float32))
    for c0, bias in [*((w, None) for w in wrong), *((None, w) for w in wrong)]:
        with pytest.raises(ValueError, match=r"gemm \(cuda/v07_double_buffered\): an addend"):
            call(np.empty((3, 4), np.float32), x, np.ones((4, 4), np.float32), c0, bias, 1.0, 1.0, 0)
    with pytest.raises(ValueError, match="there is no activation number 5"):
        call(np.empty((3, 4), np.float32), x, np.ones((4, 4), np.float32), None, None, 1.0, 1.0, 5)
