"""casts: .float(), .long(), ...: conversions by name."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..cases import Case, T
from ..memory_format import preserve_format
from ..op import Op
from ..tensor import Tensor

_CASTS = {"float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16, "long": dtypes.int64,
          "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_}


class Cast(Op):
    """This tensor in another dtype; itself where it has it already."""

    function = False
    composite = True
    kind = dtypes.float32

    def forward(self, input: Tensor, memory_format: Any = preserve_format) -> Tensor:
        return input.to(self.kind, memory_format=memory_format)

    def reference(self, x: Any, memory_format: Any = None) -> Any:
        return x.astype(self.kind.np)

    def cases(self) -> Iterable[Case]:
        oracle = self.kind is not dtypes.bfloat16  # NumPy, through which the oracle answers, has none
        yield from (Case(T(5, dtype="int64", low=0, high=9), torch=oracle), Case(T(2, 0, dtype="bool"), torch=oracle))


for _name, _kind in _CASTS.items():
    type(_name.capitalize(), (Cast,), {"name": _name, "kind": _kind, "__module__": __name__,
                                       "__doc__": f"This tensor as {_kind.name}; itself where it is that already."})
