"""where: z = x where the condition holds, else y."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dispatch, dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand, fn
from ..pointwise import Pointwise, check_broadcast, keep_shapes, number_on, summed
from ..tensor import Tensor, wrap


class Where(Op):
    """z = input where condition else other, with broadcasting and promotion; input and other may be numbers.

    `where(condition)` alone gives the indices of the true elements, as `condition.nonzero(as_tuple=True)`.
    """

    name = "where"
    method = False  # the method has its own order: x.where(condition, other)
    composite = True

    def forward(self, condition: Tensor, input: Any = None, other: Any = None) -> Any:
        if input is None and other is None:
            return condition.nonzero(as_tuple=True)
        return SELECT.call(condition, input, other)

    def reference(self, c: Any, x: Any, y: Any) -> Any:
        return np.where(c, x, y)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, dtype="bool"), T(3), 2.0), Case(T(3, dtype="bool"), 1.0, T(3)))


class Select(Pointwise):
    """What `where` computes when it is given three arguments."""

    name = "select_where"
    ufunc = "where"
    rounds = False
    function = method = False

    def forward(self, ctx: Node, condition: Tensor, input: Operand, other: Operand) -> Tensor:
        c = condition.array
        if c.dtype.kind != "b":
            raise RuntimeError(f"where: condition must be a bool tensor, it is {condition.dtype.name}; compare first: condition != 0")
        kind = dtypes.result_type(input, other).np
        parts = []
        for v in (input, other):
            if not isinstance(v, Tensor):
                v = number_on(condition.device, v, kind).astype(kind, copy=False)
            elif v.device is not condition.device:
                raise RuntimeError(f"where: condition is on {condition.device} but an operand is on {v.device}; move one with .to(...)")
            else:
                v = v.array.astype(kind, copy=False)
            check_broadcast("where", c.shape, v.shape)
            parts.append(v)
        check_broadcast("where", parts[0].shape, parts[1].shape)
        if ctx.edges is not None:
            keep_shapes(ctx, input, other)
            ctx.save(condition)
        return wrap(self.kernel(condition.device, parts[0])(c, *parts), condition.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (c,) = ctx.saved
        a, b = ctx.shapes
        gx = summed(fn.where(c, g, 0.0), a) if ctx.edges[1] else None
        return None, gx, summed(fn.where(c, 0.0, g), b) if ctx.edges[2] else None

    def reference(self, c: Any, x: Any, y: Any) -> Any:
        return np.where(c, x, y)

    def cases(self) -> Iterable[Case]:
        for shape in ((0,), (), (7,), (3, 5)):
            yield Case(T(*shape, dtype="bool"), T(*shape), T(*shape))
        yield from (Case(T(3, 1, dtype="bool"), T(5), T(2, 1, 1)), Case(T(3, dtype="bool"), T(3), 2.0))
        yield Case(T(3, dtype="bool"), T(2), T(3), error=(RuntimeError, "where: shapes (3,) and (2,) do not broadcast"))
        yield Case(T(3), T(3), T(3), error=(RuntimeError, "where: condition must be a bool tensor"))


SELECT = dispatch._ops["select_where"]


def _method(self: Tensor, condition: Tensor, other: Operand) -> Tensor:
    """This tensor where the condition holds, else `other`."""
    return SELECT.call(condition, self, other)


Tensor.where = _method  # type: ignore[attr-defined]
