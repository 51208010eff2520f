"""The device `cuda`: NVIDIA GPUs, with CuPy's arrays as storage.

Three families of kernels: `cuda`, the compiled ones of `csrc/cuda` (extension `_cuda`, built where nvcc is); `triton`; and `cupy`, the
formulas and rungs that the ops write in Python over an array module, run by CuPy. `tensorgrad.cuda` has streams, memory and graphs.

Memory comes from CuPy's pool by way of `tensorgrad.cuda.memory`, which counts it; kernels are launched on CuPy's current stream. With
several GPUs an op runs with its tensors' device as the current one.
"""
from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import op as ops
from .. import triton
from ..arguments import mixed_devices, tensors_among
from ..cuda import driver, memory, streams, transfers
from ..device import device as Device
from .permissions import matmul as matmul

driver.require()
try:
    import cupy
except Exception as e:  # whatever goes wrong inside of it
    raise ImportError(f"cuda: CuPy does not import ({' '.join(str(e).split())[:300]}): pip uninstall it and install "
                      f"{driver.examine().cupy} again, or the wheel for another CUDA") from e
try:
    cupy.cuda.nvrtc.getVersion()
except Exception as e:
    raise ImportError("cuda: CuPy finds no CUDA compiler to make its kernels with (NVRTC): install the CUDA toolkit, or "
                      f"pip install 'cuda-toolkit[cudart,nvrtc]=={cupy.cuda.runtime.runtimeGetVersion() // 1000}.*'") from e

families = ("cuda", "triton", "cupy")
arrays = "cupy"
try:
    extension: types.ModuleType | None = importlib.import_module("tensorgrad._cuda")
except ImportError as e:
    extension, _why_not = None, " ".join(str(e).split())
devices = driver.examine().devices
accounts = memory.Accounts(cupy)
launcher = triton.launcher()
streams.kernels_follow(extension, launcher)
if launcher is not None:
    launcher.set_allocator(cupy.cuda.alloc)


def current() -> int:
    """The index of this thread's current device."""
    return int(cupy.cuda.runtime.getDevice())


def check(index: int | None) -> int:
    """The index meant: the current device's for None. ValueError for a device that is not there."""
    if index is None:
        return current()
    if index >= devices:
        has = "one, cuda:0" if devices == 1 else f"{devices}: cuda:0 to cuda:{devices - 1}"
        raise ValueError(f"device: there is no cuda:{index}; this machine has {has}")
    return index


def asarray(array: Any, non_blocking: bool = False) -> Any:
    """Storage on the current device for a NumPy array, or for another GPU's: a copy."""
    return transfers.upload(cupy, array, non_blocking)


def to_numpy(array: Any, non_blocking: bool = False) -> np.ndarray:
    """A NumPy array with what a storage holds. With `non_blocking` it is in pinned memory, and whole once the stream got there."""
    return transfers.download(cupy, array, non_blocking)


def address(array: Any) -> int:
    """Where the first element lies."""
    return int(array.data.ptr)


def constant(array: np.ndarray) -> Any:
    """Storage for what follows from shapes and options alone: a graph being recorded may keep it as it is."""
    if not streams.capturing():
        return asarray(array)
    array = np.ascontiguousarray(array).reshape(array.shape)
    made = for_replays(array.size, array.dtype).reshape(array.shape)
    with cupy.cuda.Stream(non_blocking=True) as beside:  # which nobody records
        made.set(array)
        beside.synchronize()
    streams.own.graph.keep(made)
    return made


def scalar(array: np.ndarray) -> Any:
    """Storage for a number: written by the stream, so that graphs can hold it; outside of them every stream may read it at once."""
    made = cupy.full((), array.item(), array.dtype)
    if not streams.capturing():
        cupy.cuda.get_current_stream().synchronize()
    return made


def capturing() -> bool:
    """Whether this thread is recording a graph: what is computed now has no values yet."""
    return streams.capturing()


def before_replays(prepare: Callable[[], None]) -> None:
    """Call this before each replay of the graph that this thread is recording."""
    streams.own.graph.preparations.append(prepare)


def drawn_by_replays(op: str, generator: Any, count: int) -> tuple[int, int]:
    """Where the kernel of an op that this thread is recording finds the random numbers that a replay takes of a generator."""
    array, offset = streams.own.graph.draws(op, generator, count)
    return address(array), ~offset


def for_replays(count: int, dtype: Any) -> Any:
    """Storage that such a call may write: none of the graph's own, which other kernels of it have used by the time a later one reads."""
    own, accounts.own.pool = accounts.own.pool, None
    try:
        return cupy.empty(count, dtype)
    finally:
        accounts.own.pool = own


def active() -> contextlib.AbstractContextManager[None]:
    """Nothing: there is one GPU."""
    return contextlib.nullcontext()


def load_kernels() -> Iterator[tuple]:
    """(op, rung, dtypes, source, writes, callable, chips, whether deterministic) of every compiled kernel, and of Triton's."""
    if extension is not None:
        yield from extension.kernels()
    if launcher is not None:
        yield from triton.load_kernels()


def chip(index: int | None = None) -> int:
    """The compute capability of a GPU: 90 for 9.0."""
    return int(cupy.cuda.Device(current() if index is None else index).compute_capability)


@functools.cache
def multiprocessors(index: int | None = None) -> int:
    """How many streaming multiprocessors a GPU has."""
    return int(cupy.cuda.runtime.getDeviceProperties(current() if index is None else index)["multiProcessorCount"])


def synchronize() -> None:
    """Wait for the current device."""
    streams.synchronize()


def describe() -> list[tuple[str, str]]:
    """Rows for `tensorgrad doctor`."""
    found = driver.examine()
    rows = []
    for i in range(devices):
        with cupy.cuda.Device(i):
            free, total = cupy.cuda.runtime.memGetInfo()
        name = cupy.cuda.runtime.getDeviceProperties(i)["name"].decode()
        rows.append((f"cuda:{i}", f"{name}, {chip(i) / 10:.1f}, {total / 2**30:.1f} GiB, {free / 2**30:.1f} of them free"))
    rows += [("driver", f"for CUDA {driver.version(found.driver or 0)}"), ("CuPy", found.cupy or cupy.__version__),
             ("compiled kernels", "built" if extension is not None else
              f"not in this installation ({_why_not}): install where nvcc is, or use Triton's and CuPy's"),
             ("Triton kernels", triton.absent() or "there")]
    return rows


# ---------------------------------------------------------------- several GPUs


class _On:
    """CuPy's functions with another device as the current one."""

    def __init__(self, index: int):
        self._index = index

    def __getattr__(self, name: str) -> Any:
        f = getattr(cupy, name)
        if not callable(f) or isinstance(f, type):
            return f

        def there(*args: Any, **kwargs: Any) -> Any:
            with streams.on(self._index):
                return f(*args, **kwargs)

        return there


class _At:
    """This module for one of several GPUs."""

    def __init__(self, index: int):
        self.xp: Any = _On(index)
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return globals()[name]

    def asarray(self, array: Any, non_blocking: bool = False) -> Any:
        with streams.on(self._index):
            return asarray(array, non_blocking)

    def active(self) -> contextlib.AbstractContextManager[None]:
        return streams.on(self._index)

    def scalar(self, array: np.ndarray) -> Any:
        with streams.on(self._index):
            return scalar(array)

    def constant(self, array: np.ndarray) -> Any:
        with streams.on(self._index):
            return constant(array)

    def to_numpy(self, array: Any, non_blocking: bool = False) -> np.ndarray:
        with streams.on(self._index):
            return to_numpy(array, non_blocking)


def _on_its_device(op: ops.Op, run: Any) -> Any:
    """An op's work, or its backward, with its tensors' device as the current one; tensors of several GPUs are refused."""
    moves = op.name in ("to_device", "copy_", "to", "cuda")  # what copies between devices looks after them itself

    def there(*args: Any, **kwargs: Any) -> Any:
        found = dict.fromkeys(t.device for t in tensors_among(args) if t.device.type == "cuda")
        if not found or (moves and op.composite):
            return run(*args, **kwargs)
        if len(found) > 1 and not moves and not op.composite:
            raise mixed_devices(op, args[1:]) or RuntimeError(f"{op.name}: tensors of several GPUs: {', '.join(map(str, found))}")
        with streams.on(next(iter(found)).index or 0):
            return run(*args, **kwargs)

    return there


def _waiting(op: ops.Op, forward: Any) -> Any:
    """An op's work, and then waiting for the device: an error of a kernel is raised by the op that launched it."""
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            out = forward(*args, **kwargs)
            if not streams.capturing():
                cupy.cuda.Device().synchronize()
        except cupy.cuda.runtime.CUDARuntimeError as e:
            raise RuntimeError(f"{op.name}: its work on {Device('cuda')} failed: {e}") from e
        return out

    return run


xp: Any = cupy
if devices > 1:
    ops.surround(_on_its_device, everything=True)
if os.environ.get("TG_SYNC") == "1":
    ops.surround(_waiting)


def at(index: int) -> Any:
    """The backend of one GPU: this module where there is but one."""
    return _At(index) if devices > 1 else sys.modules[__name__]
