"""cauchy_: fill with Cauchy numbers."""
from __future__ import annotations

import math

import numpy as np

from ..graph import Node
from ..op import Op
from ..random import Generator
from ..tensor import Tensor, wrap


class Cauchy(Op):
    """Overwrite with numbers of the density sigma / (pi (sigma^2 + (x - median)^2))."""

    name = "cauchy_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> None:
        if not sigma > 0:
            raise RuntimeError(f"cauchy_: sigma must be positive, got {sigma}")
        u = wrap(input.device.backend.xp.empty(input.shape, np.float64), input.device).uniform_(generator=generator)
        input.array[...] = median + sigma * np.tan(math.pi * (u.array - 0.5))
