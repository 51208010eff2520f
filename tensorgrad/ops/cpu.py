"""cpu: this tensor on the CPU."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Cpu(Op):
    """This tensor on the CPU; itself when it is there already."""

    name = "cpu"
    function = False
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        return input.to("cpu")

    def reference(self, x: Any) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3))
