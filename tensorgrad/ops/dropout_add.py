"""dropout_add: a residual connection around dropout, in one pass."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor


class DropoutAdd(Op):
    """y = residual + dropout(input + bias): in training each element of the sum becomes 0 with probability p, else it is divided by 1 - p.

    input and residual have one shape (..., n), bias is None or (n,). The zeros are those that `dropout` would draw at the same state of
    the generator, on every device. The sum around residual connections of Vaswani et al., "Attention is all you need", 2017.
    """

    name = "dropout_add"
    function = method = False
    functional = True
    composite = True
    group = "drop_add"
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, residual: Tensor, bias: Tensor | None = None, p: float = 0.5, training: bool = True) -> Tensor:
        drop = fn.drop.op
        p = drop.check("dropout_add", p)
        if not training or p == 0:
            return fn.drop_add(input, residual, bias, 1.0, 1.0)
        return fn.drop_add(input, residual, bias, 1 - p, 1 / (1 - p) if p < 1 else 0.0, drop.reserved(input))
