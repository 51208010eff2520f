"""The module `_cuda`, built where nvcc is: what can be said of it without a GPU."""
from __future__ import annotations

import ctypes.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tensorgrad import dispatch

cuda = pytest.importorskip("tensorgrad._cuda", reason="nvcc was not there when tensorgrad was built", exc_type=ImportError)
KERNELS = {(op, path): call for op, path, _, _, _, call, *_ in cuda.kernels()}


def on_device(shape, dtype=np.float32, address=0x10000):
    """What the module sees of a CuPy array."""
    a = np.empty(shape, dtype)
    return SimpleNamespace(dtype=a.dtype, shape=a.shape, strides=a.strides, data=SimpleNamespace(ptr=address), __cuda_array_interface__={})


def test_it_has_the_kernels_the_emulator_has():
    emulated = {(op, path) for op, paths in dispatch.kernels_of("emu").items() for path, k in paths.items() if k.family == "cuda"}
    assert set(KERNELS) == emulated


def test_numpy_arrays_are_refused():
    a = np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match="arrays in the GPU's memory"):
        KERNELS["matmul", "cuda/v00_naive"](a, a, a)


def test_arrays_on_the_device_are_understood():
    run = KERNELS["matmul", "cuda/v07_double_buffered"]
    with pytest.raises(ValueError, match="5 batch dimensions are more than 4"):
        run(*[on_device((1, 1, 1, 1, 1, 2, 2))] * 3)
    run(on_device((0, 3)), on_device((0, 4)), on_device((4, 3)))  # nothing to launch
    odd = on_device((2, 2))
    odd.strides = (6, 4)
    with pytest.raises(ValueError, match="strides must be whole elements"):
        run(odd, odd, odd)


@pytest.mark.skipif(ctypes.util.find_library("cuda") is not None, reason="there is a CUDA driver here; tests marked gpu launch kernels")
def test_a_launch_without_a_driver_is_an_error():
    if "libcuda.so.1" in Path("/proc/self/maps").read_text():
        pytest.skip("tests that ran before in this process have brought the stub of the driver")
    a = on_device((2, 2))
    with pytest.raises(RuntimeError, match="driver"):
        KERNELS["matmul", "cuda/v00_naive"](a, a, a)
