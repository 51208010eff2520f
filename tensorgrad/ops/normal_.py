"""normal_: fill with normal numbers."""
from __future__ import annotations

import numpy as np

from ..graph import Node
from ..op import Op
from ..random import Generator, fill
from ..tensor import Tensor


class NormalFill(Op):
    """Overwrite with normal numbers of the given mean and standard deviation (Box and Muller, 1958)."""

    name = "normal_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> None:
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"normal_: needs a floating tensor, got {input.dtype.name}")
        if not std >= 0:
            raise RuntimeError(f"normal_: std must not be negative, got {std}")
        fill(self, input, generator, float(mean), float(std), kind=np.dtype(np.float32) if input.dtype.itemsize == 2 else None)
