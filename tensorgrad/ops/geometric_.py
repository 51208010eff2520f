"""geometric_: fill with numbers of trials."""
from __future__ import annotations

import math

import numpy as np

from ..graph import Node
from ..op import Op
from ..random import Generator
from ..tensor import Tensor, wrap


class Geometric(Op):
    """Overwrite with the number of trials up to the first success of probability p: 1, 2, ..."""

    name = "geometric_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, p: float, *, generator: Generator | None = None) -> None:
        if not 0 < p < 1:
            raise RuntimeError(f"geometric_: p must lie in (0, 1), got {p}")
        u = wrap(input.device.backend.xp.empty(input.shape, np.float64), input.device).exponential_(generator=generator)
        input.array[...] = np.ceil(u.array / -math.log1p(-p))
