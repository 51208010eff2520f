"""view: the same memory in another shape, or read as another dtype."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..dtypes import dtype as DType
from ..graph import Node
from ..op import Op, Sizes, fn
from ..tensor import Tensor, wrap
from .reshape import resolve


class View(Op):
    """The same memory in a new shape, one size of which may be -1: `view(2, -1)`; or its bytes read as another dtype: `view(tg.int32)`.

    RuntimeError where the strides do not allow the shape without a copy: `reshape` copies then.
    """

    name = "view"
    function = False
    composite = True
    copies = False

    def forward(self, input: Tensor, *shape: Any, size: Any = None, dtype: DType | None = None) -> Tensor:
        if dtype is not None or (shape and shape[0].__class__ is DType):
            return fn.view_dtype(input, shape[0] if dtype is None else dtype)
        return fn.view_shape(input, *(shape if size is None else (size,)))

    def reference(self, x: Any, *shape: Any) -> Any:
        return x.reshape(*shape)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 6), 3, 4), Case(T(2, 6), (-1,)), Case(T(6), 2, -1), Case(T(1), ()), Case(T(0, 3), (3, 0)))
        yield Case(T(2, 3), 4, 2, error=(RuntimeError, "view: 6 elements of shape (2, 3) do not fit"))


class ViewShape(Op):
    """`view` with a shape."""

    name = "view_shape"
    function = method = False
    may_view = True
    copies = False

    def forward(self, ctx: Node, input: Tensor, shape: Sizes) -> Tensor:
        x = input.array
        ctx.shape, ctx.view = x.shape, True
        if shape and min(shape) < 0:
            shape = resolve("view", x.shape, tuple(shape))
        try:
            return wrap(x.reshape(shape, copy=False), input.device)
        except ValueError:
            resolve("view", x.shape, tuple(shape))
            raise RuntimeError(f"view: shape {tuple(x.shape)} with strides {input.stride()} cannot be viewed as {tuple(shape)} "
                               "without a copy; "
                               "use reshape()") from None

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.reshape(ctx.shape)

    def reference(self, x: Any, shape: Any) -> Any:
        return x.reshape(shape)

    def cases(self) -> Iterable[Case]:
        yield Case(T(4), (3,), error=(RuntimeError, "view: 4 elements"))


class ViewDtype(Op):
    """`view` with a dtype: the bytes, read otherwise. The last dim shrinks or grows with the size of the elements."""

    name = "view_dtype"
    function = method = differentiable = False
    may_view = True
    copies = False

    def forward(self, ctx: Node, input: Tensor, dtype: DType) -> Tensor:
        x = input.array
        ctx.view = True
        try:
            return wrap(x.view(dtype.np), input.device)
        except ValueError:
            raise RuntimeError(f"view: shape {tuple(x.shape)} of {input.dtype.name} with strides {input.stride()} cannot be read as "
                               f"{dtype.name}: "
                               "the last dim must be contiguous and its bytes a multiple of the new element size") from None

    def reference(self, x: Any, dtype: Any) -> Any:
        return x.view(dtype.np)

    def cases(self) -> Iterable[Case]:
        from ..dtypes import float32, int32, int64, uint8

        yield from (Case(T(2, 4, dtype="int32", high=9), int64), Case(T(3, dtype="int64", high=9), uint8))
        yield Case(T(3, dtype="int32", high=9), float32)
        yield Case(T(3, dtype="int8", high=9), int32, error=(RuntimeError, "view: shape (3,) of int8"))
