"""What a family of Triton kernels is written with: `@kernel` makes a launchable kernel, `@rung` gives dispatch a function that launches."""
from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import triton

from .. import INTERPRETED
from ..tuned import Configuration

FREE = 255  # `maxnreg`, registers of a thread: unasked, the assembler may spill a few to have more blocks on a multiprocessor
PLANS: list[Any] = []  # every function that `plan` keeps the results of
RUNGS: list[tuple] = []  # as dispatch takes them: (op, path, dtypes, source, writes, callable, chips, whether deterministic)


def kernel(function: Callable) -> Any:
    """A Triton kernel that arrays are given to as they are: `softmax_rows[grid](y, x, n, BLOCK=1024, num_warps=4)`.

    Positional arguments are passed at each launch, keywords are compiled in: the kernel's constants, and the options num_warps,
    num_stages and maxnreg. `softmax_rows[grid].bind(n, BLOCK=1024, num_warps=4)` is a launch that y and x alone are given to.
    With TRITON_INTERPRET=1 the same calls run on NumPy arrays.
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


def layout(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, block: tuple[int, ...]) -> Callable[[Any], Any]:
    """Of arrays that lie so in memory (strides in bytes) a kernel moves blocks by tensor memory access: layout(...)(array) is an
    argument for `tl.tensor_descriptor` parameters. The array itself may be of another shape: a matrix is turned by its layout."""
    if INTERPRETED:
        from .interpreter import layout as interpreted
        return interpreted(shape, strides, itemsize, block)
    from ..._launcher import layout as launched
    return launched(shape, strides, itemsize, block)


def descriptor(array: Any, *block: int) -> Any:
    """An array as it is, by tensor memory access."""
    return layout(array.shape, array.strides, array.itemsize, block)(array)


Form = tuple[tuple[int, ...], tuple[int, ...], int]


def plan(function: Callable) -> Any:
    """Mark a function from forms to a launch whose numbers and constants are bound: it is worked out once for each of the few that
    networks use."""
    kept = functools.lru_cache(4096)(function)
    PLANS.append(kept)
    return kept


def forget_plans() -> None:
    """Work out every launch anew, because what they depend on has changed."""
    for kept in PLANS:
        kept.cache_clear()


def forms(*arrays: Any) -> tuple[Form | None, ...]:
    """What a plan may depend on of each array: its shape, its strides and the size of an element. None stays None."""
    return tuple([None if a is None else (a.shape, a.strides, a.itemsize) for a in arrays])


class Laid(NamedTuple):
    """A form by the names that arrays have for it: what is asked of arrays a plan asks of `Laid(*form)`."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    @property
    def size(self) -> int:
        return prod(self.shape)


def power_of_2(n: int) -> int:
    """The least power of two that is at least n (and 1): Triton's blocks have such sizes."""
    return 1 << max(0, n - 1).bit_length()


def cdiv(a: int, b: int) -> int:
    """a / b, rounded up: how many blocks of b cover a."""
    return -(-a // b)


def steps(array: Any) -> tuple[int, ...]:
    """The strides of an array in elements."""
    return steps_of_form((array.shape, array.strides, array.itemsize))


@functools.lru_cache(4096)  # networks ask for the same few again and again
def steps_of_form(form: Form) -> tuple[int, ...]:
    """The same of its form."""
    _, strides, size = form
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


@dataclass(frozen=True)
class Space:
    """What may be tried for a rung, and on what."""

    rung: str  # "matmul v09_hopper"
    dtypes: str
    values: dict[str, tuple[int, ...]]  # by the name of a constant or an option
    sizes: str  # what a shape is made of: "MxNxK"
    shapes: tuple[tuple[int, ...], ...]  # those that are tuned unless others are asked for
    sample: Callable[..., list[Any]]  # (dtype, *shape): the arguments of the rung, arrays being NumPy's
    results: int  # how many of the first of them it writes

    def candidates(self, default: Configuration) -> list[Configuration]:
        """All of them, the default first."""
        every = [dict(zip(self.values, one, strict=True)) for one in itertools.product(*self.values.values())]
        return [default, *[one for one in every if one != default]]


SPACES: dict[str, Space] = {}


def space(rung: str, types: str, sizes: str, shapes: tuple[tuple[int, ...], ...], sample: Callable[..., list[Any]], results: int = 1,
          **values: tuple[int, ...]) -> None:
    """Declare what may be tried for a rung."""
    SPACES[rung] = Space(rung, types, values, sizes, shapes, sample, results)
