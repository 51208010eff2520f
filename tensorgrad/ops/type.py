"""type: the dtype by name, or a conversion."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor


class Type(Op):
    """`x.type()` is the type's name, such as "tensorgrad.FloatTensor"; `x.type(dtype)` converts, by dtype or by such a name."""

    name = "type"
    function = False
    composite = True

    def forward(self, input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
        if dtype is None:
            return f"tensorgrad.{'cuda.' if input.device.type == 'cuda' else ''}{_NAMES[input.dtype]}Tensor"
        dtype = getattr(dtype, "dtype", dtype)  # of a FloatTensor, by whose name older code asks
        if isinstance(dtype, str):
            short = dtype.rpartition(".")[2].removesuffix("Tensor")
            dtype = next((d for d, n in _NAMES.items() if n == short), dtype)
        return input.to(dtypes.as_dtype(dtype), non_blocking=non_blocking)

    def reference(self, x: Any, dtype: Any) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        yield Case(T(2, 3), "tensorgrad.DoubleTensor", torch=False)


_NAMES = {dtypes.float32: "Float", dtypes.float64: "Double", dtypes.float16: "Half", dtypes.bfloat16: "BFloat16", dtypes.int64: "Long",
          dtypes.int32: "Int", dtypes.int16: "Short", dtypes.int8: "Char", dtypes.uint8: "Byte", dtypes.bool_: "Bool"}
