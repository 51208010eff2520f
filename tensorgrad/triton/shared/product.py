"""The host's side of a product C = act(alpha A B + beta D + E): one launch for up to two batch dimensions, the steps of its matrices."""
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

FARTHEST = 1 << 24  # elements: with such a step, places within a tile are numbers of 32 bits


def launches(out: Any, *given: Any) -> Iterator[tuple]:
    """The arrays of each launch: those that were given, or their parts where C has more than two batch dimensions."""
    if out.ndim <= 4:
        yield (out, *given)
        return
    for i in range(out.shape[0]):
        parts = [a if a is None or a.ndim < out.ndim else a[i if a.shape[0] > 1 else 0] for a in given]
        yield from launches(out[i], *parts)


def steps_of(a: Any) -> tuple[int, ...]:
    """From one element to the next along two batch dimensions, rows and columns, in elements; 0 where there is but one, or no array."""
    return (0, 0, 0, 0) if a is None else _steps(a.shape, a.strides, a.itemsize)


@lru_cache(4096)  # networks ask for the same few again and again
def _steps(shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> tuple[int, ...]:
    found = tuple([s // size if n > 1 else 0 for s, n in zip(strides, shape, strict=True)])
    if max(found[-2:], default=0) > FARTHEST:
        raise ValueError(f"Triton's matmul: an array of shape {shape} has a step of {max(found[-2:])} elements between rows or "
                         f"columns, which is more than {FARTHEST}; copy it with .contiguous()")
    return (0,) * (4 - len(shape)) + found


def grid_of_batches(out: Any) -> tuple[int, int]:
    """(how many, how many of the inner of the two dimensions)."""
    inner = out.shape[-3] if out.ndim > 2 else 1
    return (out.shape[-4] if out.ndim > 3 else 1) * inner, inner
