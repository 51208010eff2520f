"""as_strided_scatter: a copy with a part replaced."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class AsStridedScatter(Op):
    """A copy of input whose elements at these sizes, strides and offset are `src`."""

    name = "as_strided_scatter"
    composite = True

    def forward(self, input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
        out = fn.clone(input)
        place = fn.as_strided(out, tuple(size), tuple(stride), storage_offset or 0)
        if tuple(place.shape) != tuple(src.shape):
            raise RuntimeError(f"as_strided_scatter: src has shape {tuple(src.shape)} but the place for it {tuple(place.shape)}")
        place.copy_(src)
        return out

    def reference(self, x: Any, src: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
        y = x.copy().reshape(-1)
        for at in np.ndindex(*size):
            y[(storage_offset or 0) + sum(i * s for i, s in zip(at, stride, strict=True))] = src[at]
        return y.reshape(x.shape)

    def cases(self) -> Iterable[Case]:
        for oracle in (False, True):  # PyTorch gives the replaced elements of input a gradient
            grad = not oracle
            yield Case(T(3, 4, grad=grad), T(2, 2, grad=grad), (2, 2), (4, 1), torch=oracle)
            yield Case(T(6, grad=grad), T(2, grad=grad), (2,), (2,), 1, torch=oracle)
