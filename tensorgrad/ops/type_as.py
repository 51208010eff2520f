"""type_as: this tensor in the dtype and on the device of another."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class TypeAs(Op):
    """This tensor in the dtype and on the device of `other`."""

    name = "type_as"
    function = False
    composite = True

    def forward(self, input: Tensor, other: Tensor) -> Tensor:
        return input.to(dtype=other.dtype, device=other.device)

    def reference(self, x: Any, y: Any) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3), T(1))
