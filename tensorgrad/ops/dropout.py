"""dropout: random zeros."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor


class Dropout(Op):
    """In training each element becomes 0 with probability p, the others are divided by 1 - p; otherwise the input itself.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    name = "dropout"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return fn.drop.op.scaled("dropout", input, p, training, inplace)
