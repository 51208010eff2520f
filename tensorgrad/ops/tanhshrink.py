"""tanhshrink: y = x - tanh x."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, unary_shapes
from ..op import Op
from ..tensor import Tensor


class Tanhshrink(Op):
    """y = x - tanh(x)."""

    name = "tanhshrink"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return input - input.tanh()

    def reference(self, x: Any) -> Any:
        return x - np.tanh(x)

    def cases(self) -> Iterable[Case]:
        return unary_shapes()
