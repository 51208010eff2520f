"""bernoulli_: fill with zeros and ones."""
from __future__ import annotations

import numpy as np

from ..graph import Node
from ..op import Op, Operand
from ..random import Generator
from ..tensor import Tensor, wrap


class Bernoulli(Op):
    """Overwrite with 1 where a uniform number is below p, else 0; p is a number or a tensor of probabilities of this shape."""

    name = "bernoulli_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, p: Operand = 0.5, *, generator: Generator | None = None) -> None:
        q = p.array if isinstance(p, Tensor) else np.asarray(p, np.float64)
        known = not isinstance(p, Tensor) or not input.device.backend.capturing()  # a graph has no values yet
        if known and q.size and not ((q >= 0) & (q <= 1)).all():
            raise RuntimeError("bernoulli_: probabilities must lie in [0, 1]")
        q = q if isinstance(p, Tensor) else input.device.backend.scalar(q)
        double = input.array.dtype == np.float64 or (q.dtype == np.float64 and q.ndim)
        u = wrap(input.device.backend.xp.empty(input.shape, np.float64 if double else np.float32), input.device)
        u.uniform_(generator=generator)
        input.array[...] = u.array < q.astype(u.array.dtype)
