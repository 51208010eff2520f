"""cuda: this tensor on a CUDA device."""
from __future__ import annotations

from typing import Any

from ..op import Op
from ..tensor import Tensor


class Cuda(Op):
    """This tensor on a CUDA device (the current one, or by index or name); itself when it is there already."""

    name = "cuda"
    function = False
    composite = True

    def forward(self, input: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
        return input.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device, non_blocking=non_blocking)
