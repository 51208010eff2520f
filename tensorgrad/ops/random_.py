"""random_: fill with integers."""
from __future__ import annotations

import numpy as np

from .. import dtypes
from ..graph import Node
from ..op import Op
from ..random import Generator, fill
from ..tensor import Tensor


class Random(Op):
    """Overwrite with integers in [from, to), or [0, from) when there is no `to`; with neither, the whole range of the dtype.

    For floating dtypes that range is the integers they hold exactly.
    """

    name = "random_"
    function = differentiable = False
    mutates = True
    tested_in = "tests/test_random.py"

    def forward(self, ctx: Node, input: Tensor, from_: int | None = None, to: int | None = None, *,
                generator: Generator | None = None) -> None:
        kind = input.dtype
        if kind.is_floating_point:
            lowest, highest = 0, 2 ** {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}[kind.name] + 1
        else:
            lowest, highest = (0, 2) if kind is dtypes.bool_ else (dtypes.iinfo(kind).min, dtypes.iinfo(kind).max + 1)
        if to is None:
            low, high = 0, highest if from_ is None else int(from_)
        else:
            low, high = int(from_ or 0), int(to)
        if low >= high:
            raise RuntimeError(f"random_: the interval [{low}, {high}) is empty")
        if not kind.is_floating_point and (low < lowest or high > highest):
            raise RuntimeError(f"random_: [{low}, {high}) does not fit in {kind.name}, which holds [{lowest}, {highest})")
        count = high - low
        fill(self, input, generator, low, count - (1 << 64) if count >= 1 << 63 else count, kind=np.dtype(np.int64))
