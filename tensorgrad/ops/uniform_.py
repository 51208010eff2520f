"""uniform_: fill with uniform numbers."""
from __future__ import annotations

import numpy as np

from ..graph import Node
from ..op import Op
from ..random import Generator, fill
from ..tensor import Tensor


class Uniform(Op):
    """Overwrite with uniform numbers in [from, to), of 24 random bits each in float32 and 53 in float64."""

    name = "uniform_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> None:
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"uniform_: needs a floating tensor, got {input.dtype.name}")
        if not from_ <= to:
            raise RuntimeError(f"uniform_: the interval [{from_}, {to}) is empty")
        if input.dtype.itemsize > 2:
            return fill(self, input, generator, float(from_), float(to))
        fill(self, input, generator, float(from_), float(to), kind=np.dtype(np.float32))
        if to > from_:  # rounding to fewer bits may have reached the open end
            x = input.array
            x[x >= x.dtype.type(to)] = np.nextafter(x.dtype.type(to), x.dtype.type(from_))
