"""einsum: sums of products by an index formula."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .shared.einsum import contract, parse


class Einsum(Op):
    """`einsum("bij,bjk->bik", x, y)`: the product of the operands, each dim named by a letter, summed over the letters not in the output.

    A letter that repeats within an operand takes its diagonal. `...` stands for dims that broadcast. Without `->` the output has the
    letters that occur once, in alphabetical order, after the `...`. Operands are contracted from left to right, each pair as one
    batched matmul. The operands may also be given as one list.
    """

    name = "einsum"
    autocast = ("lower", "lower")
    method = False
    composite = True

    def forward(self, equation: str, *operands: Any) -> Tensor:
        tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
        terms, output = parse(equation, [t.array.shape for t in tensors])
        return contract(tensors, terms, output)

    def reference(self, equation: str, *arrays: Any) -> Any:
        return np.einsum(equation, *arrays)

    def cases(self) -> Iterable[Case]:
        two = """ij,jk->ik 2x3 3x5; bij,bjk->bik 4x2x3 4x3x5; ij,kj 2x3 5x3; i,j->ij 3 4; i,i 3 3; bhid,bhjd->bhij 2x3x4x5 2x3x6x5;
            ...ij,...jk->...ik 2x1x3x4 5x4x2; ij,jk-> 2x3 3x4; ij,j->ji 2x3 3; ij,kl->jl 2x3 4x5; iij,j->i 3x3x2 2; ij,ij->ij 2x3 2x3;
            i...,i->... 3x2x2 3; ij,jk->ik 0x3 3x2; ij,jk->ik 2x0 0x2; ij,jk,kl->il 2x3 3x4 4x2"""
        one = "ii 3x3; ii->i 3x3; ij->ji 2x3; ij->j 2x3; ba 2x3; ...i->i... 2x3x4; iij->ji 2x2x3"
        for text in f"{two}; {one}".split(";"):
            equation, *shapes = text.split()
            yield Case(equation, *[T(*map(int, s.split("x"))) for s in shapes])
        yield Case(" i j , j -> i ", T(2, 3), T(3))
        yield from (Case("ij,jk->ik", T(0, 3), T(3, 2)), Case("ij,jk->ik", T(2, 0), T(0, 2)))
        yield Case("ij,jk->ik", T(2, 3), T(4, 5),
                   error=(RuntimeError, "einsum: 'j' is 3 in operand 0 of shape (2, 3) but 4 in operand 1 of shape (4, 5)"))
        yield Case("ij->ik", T(2, 3), error=(RuntimeError, "einsum: 'k' in the output of 'ij->ik' is in no operand"))
        yield Case("ijk", T(2, 3), error=(RuntimeError, "einsum: operand 0 has 2 dimensions of shape (2, 3) but 'ijk' names 3"))
        yield Case("i,j", T(2), error=(RuntimeError, "einsum: 'i,j' is for 2 operands, 1 given"))
