"""resize_: another shape for a tensor, with more or less memory."""
from __future__ import annotations

from typing import Any

from ..graph import version_cell
from ..inplace import check_inplace
from ..op import Op, Sizes
from ..tensor import Tensor


def resized(name: str, input: Tensor, size: tuple[int, ...]) -> Tensor:
    """The tensor itself in another shape: its elements in order, then uninitialised ones."""
    if input.requires_grad:
        raise RuntimeError(f"{name}: a tensor that requires grad cannot be resized")
    check_inplace(input, False, name)
    xp = input.device.backend.xp
    flat = input.array.reshape(-1)
    count = 1
    for s in size:
        count *= s
    if count > flat.size:
        grown = xp.empty(count, flat.dtype)
        grown[:flat.size] = flat
        flat = grown
    input.array = flat[:count].reshape(size)
    version_cell(input)[0] += 1
    return input


class Resize(Op):
    """This tensor itself in another shape: the elements it has, in order, then uninitialised ones. Views of it keep the old memory."""

    name = "resize_"
    function = False
    composite = True
    tested_in = "tests/test_surface.py"

    def forward(self, input: Tensor, size: Sizes) -> Tensor:
        return resized("resize_", input, tuple(size))


class ResizeAs(Op):
    """`resize_` to the shape of another tensor."""

    name = "resize_as_"
    composite = True
    tested_in = "tests/test_surface.py"

    def forward(self, input: Tensor, other: Any) -> Tensor:
        return resized("resize_as_", input, tuple(other.shape))
