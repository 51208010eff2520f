"""upsample: interpolate under its older name."""
from __future__ import annotations

from typing import Any

from ..op import Op, fn
from ..tensor import Tensor


class Upsample(Op):
    """As `interpolate`, with the older, shorter list of arguments."""

    name = "upsample"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_ops.py: interpolate"

    def forward(self, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None) -> Tensor:
        return fn.interpolate(input, size, scale_factor, mode, align_corners)
