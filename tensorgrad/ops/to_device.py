"""to_device: copy to another device."""
from __future__ import annotations

from typing import Any

from ..device import moved
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap


class ToDevice(Op):
    """A copy on another device; the gradient travels back. `Tensor.to` comes here."""

    name = "to_device"
    function = method = False
    tested_in = "tests/test_dtypes.py"

    def forward(self, ctx: Node, input: Tensor, device: Any, non_blocking: bool = False) -> Tensor:
        ctx.device = input.device
        there = moved(input.array, input.device, device, non_blocking)
        return wrap(there.copy() if there is input.array else there, device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.to(ctx.device)
