"""What a family of Triton kernels is written with: `@kernel` makes a launchable kernel, `@rung` gives dispatch a function that launches."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import triton

from .. import INTERPRETED

FREE = 255  # `maxnreg`, registers of a thread: unasked, the assembler may spill a few to have more blocks on a multiprocessor
RUNGS: list[tuple] = []  # as dispatch takes them: (op, path, dtypes, source, writes, callable, chips, whether deterministic)


def kernel(function: Callable) -> Any:
    """A Triton kernel that arrays are given to as they are: `softmax_rows[grid](y, x, n, BLOCK=1024, num_warps=4)`.

    Positional arguments are passed at each launch, keywords are compiled in: the kernel's constants, and the options num_warps,
    num_stages and maxnreg. With TRITON_INTERPRET=1 the same call runs on NumPy arrays.
    """
    jitted = triton.jit(function)
    if INTERPRETED:
        from .interpreter import Interpreted
        return Interpreted(jitted)
    from ..._launcher import kernel as launchable
    from .compiler import Compiler
    return launchable(function.__name__, Compiler(jitted))


def device_function(function: Callable) -> Any:
    """A function that kernels call: it is compiled into them."""
    return triton.jit(function)


def rung(op: str, path: str, types: str, chips: tuple[int, int] = (80, 9999), writes: tuple[int, ...] = (0,),
         deterministic: bool = True) -> Callable[[Callable], Callable]:
    """Mark a function as a kernel of `op` under `path`: it takes what the op's CUDA C++ kernels take, in the same order."""

    def mark(function: Callable) -> Callable:
        RUNGS.append((op, path, types, inspect.getsourcefile(function) or "", writes, function, chips, deterministic))
        return function

    return mark


def descriptor(array: Any, *block: int) -> Any:
    """An array of which a kernel moves blocks by tensor memory access: an argument for `tl.tensor_descriptor` parameters."""
    if INTERPRETED:
        from .interpreter import tensor_descriptor
        return tensor_descriptor(array, block)
    from ..._launcher import Descriptor
    return Descriptor(array, block)


def power_of_2(n: int) -> int:
    """The least power of two that is at least n (and 1): Triton's blocks have such sizes."""
    return 1 << max(0, n - 1).bit_length()


def cdiv(a: int, b: int) -> int:
    """a / b, rounded up: how many blocks of b cover a."""
    return -(-a // b)


def steps(array: Any) -> tuple[int, ...]:
    """The strides of an array in elements."""
    return _steps(array.strides, array.itemsize)


@functools.lru_cache(4096)  # networks ask for the same few again and again
def _steps(strides: tuple[int, ...], size: int) -> tuple[int, ...]:
    return tuple([s // size for s in strides])


def address_of(array: Any) -> int:
    """Where an array begins."""
    return int(array.__array_interface__["data"][0] if INTERPRETED else array.data.ptr)


@functools.cache
def multiprocessors() -> int:
    """Of the first GPU that is asked for; the interpreter plays one with 4."""
    if INTERPRETED:
        return 4
    from ..._launcher import multiprocessors as asked
    return asked()
