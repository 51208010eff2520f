"""addcdiv: y = x + value a / b."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Addcdiv(Op):
    """y = input + value * tensor1 / tensor2, with broadcasting."""

    name = "addcdiv"
    autocast = ("", "widest")
    composite = True
    inplace = True

    def forward(self, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
        return input + (tensor1 / tensor2 if value == 1 else tensor1 * value / tensor2)

    def reference(self, x: Any, a: Any, b: Any, value: float = 1) -> Any:
        return x + value * a / b

    def cases(self) -> Iterable[Case]:
        yield Case(T(3, 5), T(5), T(3, 1, low=0.5, high=2.0))
        yield Case(T(3), T(3), T(3, low=0.5, high=2.0), value=-0.5)
