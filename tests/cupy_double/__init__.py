"""A double of the part of CuPy that the device `cuda` uses, on the host's memory: the device layer runs without a GPU.

It is stricter than NumPy, the way CuPy is: what CuPy does not have or does not take is refused (host arrays beside its own, implicit
conversion, arguments CuPy's functions lack, `accumulate` of anything but sums and products, bfloat16 where CuPy has no kernel for it).
Where CuPy is installed, names, parameters and types are read from CuPy itself. Memory goes through pools of a given capacity, devices
are counted, streams are captured: during capture nothing is computed, and a replay does it. The CUDA kernels are those of the emulator.
It shows that the device layer asks for the right things in the right order. It does not show that a GPU does them.
"""
from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from . import arrays, cuda


class _Cupy(ModuleType):
    """What `import cupy` gives while the double is in its place."""

    __version__ = "14.2.0"
    __path__: list[str] = []
    ndarray = arrays.ndarray
    dtype = np.dtype
    cuda = cuda
    lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=arrays.as_strided))
    newaxis = None
    inf, nan, pi, e = np.inf, np.nan, np.pi, np.e

    def from_dlpack(self, owner: Any) -> Any:
        return arrays.from_dlpack(owner)

    def get_default_memory_pool(self) -> Any:
        return cuda.default_pool()

    def __getattr__(self, name: str) -> Any:
        return arrays.function(name)


def _kernels() -> list[tuple]:
    """The emulator's CUDA kernels, called as the module `_cuda` calls the GPU's."""
    from tensorgrad.backends import emu

    def launcher(run: Any) -> Any:
        def launch(*args: Any) -> None:
            assert cuda.machine.kernels_on == cuda.get_current_stream().ptr, "a kernel on another stream than CuPy's"
            taken = [arrays.kernel_argument(a) for a in args]
            cuda.work(lambda: run(*taken))
        return launch

    return [(*row[:5], launcher(row[5]), *row[6:]) for row in emu.load_kernels()]


@contextmanager
def installed(devices: int = 1, capacity: int = 1 << 30) -> Iterator[Any]:
    """The device `cuda` on the double, in a `with` block: `devices` of it, with `capacity` bytes each."""
    from tensorgrad import backends, dispatch, op, pointwise, random, triton
    from tensorgrad import device as Device
    from tensorgrad.cuda import driver, streams

    def forget() -> None:
        sys.modules.pop("tensorgrad.backends.cuda", None)
        vars(backends).pop("cuda", None)
        dispatch._kernels.pop("cuda", None)
        for key in [k for k in pointwise._constants if k[2].type == "cuda"]:
            del pointwise._constants[key]
        for key in [k for k in Device._known if k[0] == "cuda"]:
            random._of_devices.pop(Device._known.pop(key), None)
        op.surround(None)
        streams.kernels_follow()
        dispatch._forget_choices()

    cuda.reset(devices, capacity)
    extension = ModuleType("tensorgrad._cuda")
    vars(extension).update(kernels=_kernels, set_stream=cuda.note_stream, chip=lambda: 90)
    found = driver.State(driver=13000, devices=devices, problem=None, cupy="cupy-cuda13x 14.2.0")
    double = _Cupy("cupy")
    modules = {"cupy": double, "cupy.cuda": cuda, "cupyx": SimpleNamespace(empty_pinned=cuda.empty_pinned),
               "tensorgrad._cuda": extension}
    forget()
    with mock.patch.dict(sys.modules, modules), mock.patch.object(driver, "examine", return_value=found), \
            mock.patch.object(triton, "launcher", return_value=None):
        try:
            yield double
        finally:
            forget()
