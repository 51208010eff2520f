"""In which order the dimensions of a tensor lie in memory: `x.to(memory_format=tg.channels_last)`.

A shape does not change with it: (N, C, H, W) stays that, and its strides say that the channels of a pixel are neighbours.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format", "preserve_format", "strided"]


class memory_format:
    """One of `contiguous_format`, `channels_last`, `channels_last_3d`, `preserve_format`."""

    def __init__(self, name: str, dims: int = 0):
        self.name, self.dims = name, dims

    def __repr__(self) -> str:
        return f"tensorgrad.{self.name}"


class layout:
    """How a tensor is stored: `strided`, the only one."""

    def __repr__(self) -> str:
        return "tensorgrad.strided"


contiguous_format = memory_format("contiguous_format")  # the last dimension's elements are neighbours
preserve_format = memory_format("preserve_format")  # the order of dimensions that the tensor has
channels_last = memory_format("channels_last", 4)  # (N, C, H, W) in the order N, H, W, C
channels_last_3d = memory_format("channels_last_3d", 5)
strided = layout()


def order_of(op: str, x: Any, wanted: Any) -> list[int]:
    """The dimensions of an array in the order in which memory should hold them."""
    if not isinstance(wanted, memory_format):
        raise TypeError(f"{op}: memory_format must be one of tensorgrad's memory formats, not {wanted!r}")
    if wanted.dims and x.ndim != wanted.dims:
        raise RuntimeError(f"{op}: {wanted.name} is for {wanted.dims} dimensions, the tensor has shape {tuple(x.shape)}")
    if wanted.dims:
        return [0, *range(2, x.ndim), 1]
    if wanted is preserve_format:
        return sorted(range(x.ndim), key=lambda d: -abs(x.strides[d]))
    return list(range(x.ndim))


def lies(op: str, input: Tensor, wanted: Any) -> bool:
    """Whether memory has that order already, without gaps."""
    return bool(input.array.transpose(order_of(op, input.array, wanted)).flags.c_contiguous)
