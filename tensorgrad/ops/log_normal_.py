"""log_normal_: fill with log-normal numbers."""
from __future__ import annotations

import numpy as np

from ..graph import Node
from ..op import Op
from ..random import Generator
from ..tensor import Tensor, wrap


class LogNormal(Op):
    """Overwrite with exp of normal numbers of the given mean and standard deviation."""

    name = "log_normal_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> None:
        if not std > 0:
            raise RuntimeError(f"log_normal_: std must be positive, got {std}")
        wrap(input.array, input.device).normal_(mean, std, generator=generator)
        with np.errstate(over="ignore"):
            input.array[...] = input.device.backend.xp.exp(input.array)
