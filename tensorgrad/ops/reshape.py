"""reshape: the same elements in another shape."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Sizes
from ..tensor import Tensor, wrap


def resolve(op: str, old: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    """`size` with its -1 worked out; RuntimeError when the element counts differ."""
    n = 1
    for s in old:
        n *= s
    known = 1
    for s in size:
        known *= 1 if s == -1 else s
    if size.count(-1) > 1 or any(s < -1 for s in size):
        raise RuntimeError(f"{op}: at most one size may be -1 and none below, got {tuple(size)}")
    if -1 in size:
        if known == 0 or n % known:
            raise RuntimeError(f"{op}: {n} elements of shape {tuple(old)} do not fit the shape {tuple(size)}")
        return tuple(n // known if s == -1 else s for s in size)
    if known != n:
        raise RuntimeError(f"{op}: {n} elements of shape {tuple(old)} do not fit the shape {tuple(size)}, which has {known}")
    return tuple(size)


class Reshape(Op):
    """The elements in row-major order in a new shape; one size may be -1. A view where strides allow it, else a copy."""

    name = "reshape"
    may_view = True

    def forward(self, ctx: Node, input: Tensor, shape: Sizes) -> Tensor:
        x = input.array
        if shape and min(shape) < 0:
            shape = resolve("reshape", x.shape, tuple(shape))
        try:
            y = x.reshape(shape)
        except ValueError:
            resolve("reshape", x.shape, tuple(shape))
            raise
        ctx.shape = x.shape
        base = y.base  # a view has its source's memory, a copy its own
        ctx.view = base is not None and (base is x or base is x.base)
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.reshape(ctx.shape)

    def reference(self, x: Any, shape: Any) -> Any:
        return x.reshape(shape)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 6), (3, 4)), Case(T(2, 6), (-1,)), Case(T(6), (2, -1)), Case(T(1), ()), Case(T(0, 3), (3, 0)))
        yield Case(T(2, 3), (4, 2), error=(RuntimeError, "reshape: 6 elements of shape (2, 3) do not fit"))
