"""The device `emu`: the CUDA kernels of `csrc/cuda`, run on the processor by the emulator. NumPy storage.

An operation that has no CUDA kernel runs with its `cpu` kernel, which works on the same memory: `tg.kernels.list(device="emu")`
shows which have one, `tg.kernels.use(op, "cuda")` insists on it. Whole orders (sort, argsort, and the one that nms begins with) have none:
they are the storage's own, which is NumPy's stable sort here. New memory is filled with NaN, so that a kernel that leaves part
of its output unwritten shows. `configure` sets the order in which threads start and when asynchronous work happens.
"""
from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from .. import dispatch, triton
from . import cpu
from .cpu import active as active  # the storage is cpu's
from .cpu import address as address
from .cpu import asarray as asarray
from .cpu import capturing as capturing
from .cpu import constant as constant
from .cpu import scalar as scalar
from .cpu import synchronize as synchronize
from .cpu import to_numpy as to_numpy

families = ("cuda", "triton", "cpu")
borrows = "cpu"


class _Poisoning:
    """NumPy, with `empty` arrays that hold NaN (or the largest value of an unsigned integer, -1 of a signed one)."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = np.float64, **kwargs: Any) -> np.ndarray:
        array = np.empty(shape, dtype, **kwargs)
        if array.dtype != np.bool_:
            array.reshape(-1).view(np.uint8).fill(0xFF)
        return array

    @classmethod
    def empty_like(cls, a: Any, dtype: Any = None) -> np.ndarray:
        return cls.empty(a.shape, dtype or a.dtype)


xp: Any = _Poisoning()


def _load_extension() -> ModuleType:
    for isa in ("avx2", "plain"):
        if cpu.NEEDS[isa] <= cpu.cpu_flags():
            with contextlib.suppress(ModuleNotFoundError):
                return importlib.import_module(f"tensorgrad._emu_{isa}")
    raise ImportError("the device emu needs tensorgrad's emulator, which is built on Linux with GCC for x86-64 and aarch64; "
                      "it is not in this installation")


ext = _load_extension()


def configure(seed: int | None = None, eager: bool | None = None, threads: int | None = None, chip: float | None = None) -> None:
    """How kernels run from here on; None leaves a setting as it is.

    `seed`: 0 starts the threads of a block in ascending order, any other number shuffles them. `eager`: asynchronous copies and
    products happen at once instead of at the last moment the hardware may take. `threads`: processor threads for the blocks of a
    launch, 0 for one per core. `chip`: the compute capability the emulator claims to have, at first 9.0: kernels that need another
    are refused and are no defaults.
    """
    if chip is not None and not 5 <= chip < 20:
        raise ValueError(f"emu.configure: chip must be a compute capability such as 8.0 or 9.0, not {chip!r}")
    old, new = ext.settings(), (seed, eager, threads, None if chip is None else round(chip * 10))
    ext.configure(*(o if n is None else n for o, n in zip(old, new, strict=True)))
    if new[-1] not in (None, old[-1]):
        dispatch._forget_choices()


def chip(index: int | None = None) -> int:
    """The compute capability the emulator claims to have: 90 for 9.0."""
    return int(ext.settings()[-1])


def check(index: int | None) -> int | None:
    """Refuse any index but none: there is one emulator."""
    if index not in (None, 0):
        raise ValueError(f"device: there is one emu; 'emu:{index}' does not exist")
    return index


def load_kernels() -> Iterator[tuple]:
    """(op, rung, dtypes, source, writes, callable, chips, whether deterministic) of every CUDA kernel compiled for the emulator.

    With TRITON_INTERPRET=1 of every Triton kernel too, which Triton's interpreter then runs.
    """
    yield from ext.kernels()
    if triton.INTERPRETED:
        yield from triton.load_kernels()


def describe() -> list[tuple[str, str]]:
    """Rows for `tensorgrad doctor`."""
    seed, eager, threads, claimed = ext.settings()
    return [("emulator", f"CUDA kernels on the processor (extension {ext.__name__.rpartition('.')[2]})"),
            ("compute capability", f"{claimed / 10:.1f}, claimed"), ("thread order", f"shuffled by seed {seed}" if seed else "ascending"),
            ("asynchronous work", "eager" if eager else "as late as is legal"), ("threads", str(threads or "one per core")),
            ("lab", "built (extension _lab)" if importlib.util.find_spec("tensorgrad._lab") else "not built: tensorgrad lab will not run")]
