"""contiguous: the elements in row-major order without gaps."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, unary_shapes
from ..op import Op, fn
from ..tensor import Tensor


class Contiguous(Op):
    """The tensor itself where its memory is in row-major order, else a copy that is."""

    name = "contiguous"
    function = False
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return input if input.array.flags.c_contiguous else fn.clone(input)

    def reference(self, x: Any) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        return unary_shapes()
