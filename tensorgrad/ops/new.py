"""new, to_dense, share_memory_, apply_, map_: methods of older code."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..creation import empty, tensor
from ..dtypes import dtype as DType
from ..op import Op
from ..tensor import Size, Tensor


class New(Op):
    """An uninitialised tensor of the sizes given, or one with the data given, of this tensor's dtype and device."""

    name = "new"
    function = False
    composite = True
    tested_in = "tests/test_surface.py"

    def forward(self, input: Tensor, *args: Any) -> Tensor:
        if len(args) == 1 and not isinstance(args[0], (int, np.integer, Size)):
            return tensor(args[0], dtype=input.dtype, device=input.device)
        return empty(*args if args else (0,), dtype=input.dtype, device=input.device)


class ToDense(Op):
    """This tensor, in `dtype` where one is given: there are none but dense ones."""

    name = "to_dense"
    function = False
    composite = True
    tested_in = "tests/test_surface.py"

    def forward(self, input: Tensor, dtype: DType | None = None) -> Tensor:
        return input if dtype is None else input.to(dtype)


class Apply(Op):
    """Replace each element by what a Python function makes of it; slow, and not differentiable."""

    name = "apply_"
    function = False
    composite = True
    tested_in = "tests/test_surface.py"

    def forward(self, input: Tensor, callable: Callable[[Any], Any]) -> Tensor:
        if input.requires_grad:
            raise RuntimeError("apply_: a tensor that requires grad cannot be changed element by element")
        values = input.device.backend.to_numpy(input.array)
        return input.copy_(tensor([callable(v.item()) for v in values.reshape(-1)], dtype=input.dtype).reshape(values.shape))


class Map(Op):
    """Replace each element by what a Python function makes of it and of `other`'s; slow, and not differentiable."""

    name = "map_"
    function = False
    composite = True
    tested_in = "tests/test_surface.py"

    def forward(self, input: Tensor, other: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
        if input.requires_grad:
            raise RuntimeError("map_: a tensor that requires grad cannot be changed element by element")
        a = input.device.backend.to_numpy(input.array)
        b = np.broadcast_to(other.device.backend.to_numpy(other.array), a.shape)
        pairs = zip(a.reshape(-1), b.reshape(-1), strict=True)
        return input.copy_(tensor([callable(x.item(), y.item()) for x, y in pairs], dtype=input.dtype).reshape(a.shape))
