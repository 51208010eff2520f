"""The host's side of a product C = act(alpha A B + beta D + E): one launch for up to two batch dimensions, the steps of its matrices."""
from __future__ import annotations

from typing import Any

from ..runtime import Form

FARTHEST = 1 << 24  # elements: with such a step, places within a tile are numbers of 32 bits


def launches(out: Any, *given: Any) -> list[tuple]:
    """The arrays of each launch: those that were given, or their parts where C has more than two batch dimensions."""
    if out.ndim <= 4:
        return [(out, *given)]
    found = []
    for i in range(out.shape[0]):
        parts = [a if a is None or a.ndim < out.ndim else a[i if a.shape[0] > 1 else 0] for a in given]
        found += launches(out[i], *parts)
    return found


def steps_of(form: Form | None) -> tuple[int, ...]:
    """From one element to the next along two batch dimensions, rows and columns, in elements; 0 where there is but one, or no array."""
    if form is None:
        return 0, 0, 0, 0
    shape, strides, size = form
    found = tuple([s // size if n > 1 else 0 for s, n in zip(strides, shape, strict=True)])
    if max(found[-2:], default=0) > FARTHEST:
        raise ValueError(f"Triton's matmul: an array of shape {shape} has a step of {max(found[-2:])} elements between rows or "
                         f"columns, which is more than {FARTHEST}; copy it with .contiguous()")
    return (0,) * (4 - len(shape)) + found


def grid_of_batches(shape: tuple[int, ...]) -> tuple[int, int]:
    """(how many, how many of the inner of the two dimensions), for C of a shape."""
    inner = shape[-3] if len(shape) > 2 else 1
    return (shape[-4] if len(shape) > 3 else 1) * inner, inner
