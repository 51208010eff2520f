"""The compiled kernels on a GPU, called with NumPy arrays: what the ladders' tests there share. Importing it skips a test file where there
is no GPU; tests/test_gpu_double.py has it run on a double of one.
"""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

cuda = pytest.importorskip("tensorgrad._cuda", reason="nvcc was not there when tensorgrad was built", exc_type=ImportError)
cupy = pytest.importorskip("cupy", reason="needs CuPy and a CUDA GPU", exc_type=ImportError)
try:
    CHIP = int(cupy.cuda.Device(0).compute_capability)
except cupy.cuda.runtime.CUDARuntimeError:
    pytest.skip("needs a CUDA GPU", allow_module_level=True)


class Copy:
    """A NumPy array with the memory around it, and so its layout, in the GPU's memory."""

    def __init__(self, a):
        root = a
        while isinstance(root.base, np.ndarray):
            root = root.base
        whole = root.view(np.uint8) if root.flags.c_contiguous else root.T.view(np.uint8)
        self.memory = cupy.asarray(np.lib.stride_tricks.as_strided(whole, (root.nbytes,), (1,)))
        self.offset = a.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        self.array = cupy.ndarray(a.shape, a.dtype, self.memory[self.offset:].data, a.strides)

    def back(self, a):
        """Writes the array as it is now into the one it was made from."""
        a[...] = np.ndarray(a.shape, a.dtype, self.memory.get(), self.offset, a.strides)


def kernels(op):
    """path -> a kernel whose `call` takes NumPy arrays and writes into them, or skips the test where the chip is not one of its own."""
    def on_host(call, writes):
        def run(*arguments):
            there = [Copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
            try:
                call(*(c.array if isinstance(c, Copy) else c for c in there))
            except ValueError as e:
                if CHIP == 90 or "compute capability" not in str(e):
                    raise
                pytest.skip(str(e))
            for i in writes:
                there[i].back(arguments[i])
        return SimpleNamespace(call=run)

    return {path: on_host(call, writes) for name, path, _, _, writes, call, *_ in cuda.kernels() if name == op}


def rungs(op):
    """(path, dtype) of every kernel of an op."""
    return sorted((path, dtype) for name, path, types, *_ in cuda.kernels() if name == op for dtype in types.split())
