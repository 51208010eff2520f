"""exponential_: fill with exponential numbers."""
from __future__ import annotations

import numpy as np

from ..graph import Node
from ..op import Op
from ..random import Generator, fill
from ..tensor import Tensor


class Exponential(Op):
    """Overwrite with numbers of the density lambd exp(-lambd x), x > 0."""

    name = "exponential_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> None:
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"exponential_: needs a floating tensor, got {input.dtype.name}")
        if not lambd > 0:
            raise RuntimeError(f"exponential_: lambd must be positive, got {lambd}")
        fill(self, input, generator, float(lambd), kind=np.dtype(np.float32) if input.dtype.itemsize == 2 else None)
