"""setitem: x[index] = value."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, Operand, fn
from ..tensor import Tensor
from .shared.indexing import check_number, explain_index, fits, read_index


class SetItem(Op):
    """`input[index] = value`: a number or a tensor that broadcasts to the selection, converted to the dtype of `input`.

    Where an element is selected twice one of its values stays. IndexError for an index out of range, RuntimeError for a value
    that does not fit. Gradients: zero to what was overwritten, the selection's to `value`.
    """

    name = "setitem"
    function = method = False
    operators = ("__setitem__",)
    mutates = True
    torch_name = ""

    def forward(self, ctx: Node, input: Tensor, index: Any, value: Operand) -> None:
        x = input.array
        key = read_index("setitem", index, input)
        try:
            part = x[key.basic]
        except IndexError:
            raise explain_index("setitem", index, input) from None
        ctx.index = key
        if not isinstance(value, Tensor):
            check_number("setitem", value, "value")
            array = value
        else:
            if value.device is not input.device:
                if value.array.ndim:
                    raise RuntimeError(f"setitem: the tensor is on {input.device} but the value on {value.device}; move it with .to(...)")
                value = fn.to(value, input.device)
            array = value.array  # type: ignore[union-attr]
            ctx.shape, ctx.kind = array.shape, value.dtype  # type: ignore[union-attr]
            shape = part.shape if key.advanced is None else None
            if shape is not None and array.shape != shape:
                array = fits("setitem", array, shape, "a selection")
            if array.dtype.kind != x.dtype.kind:
                with np.errstate(invalid="ignore"):  # NaN to an int, as PyTorch: some int
                    array = array.astype(x.dtype)
        try:
            part[... if key.advanced is None else key.advanced] = array
        except OverflowError:
            raise RuntimeError(f"setitem: {value} does not fit into {input.dtype.name}") from None
        except ValueError:
            part[key.advanced] = fits("setitem", array, part[key.advanced].shape, "a selection")

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        to_input = to_value = None
        if ctx.edges[0] is not None:
            to_input = fn.setitem(g.clone(), ctx.index, 0)
        if ctx.edges[1] is not None:
            to_value = fn.getitem(g, ctx.index)
            if to_value.array.shape != ctx.shape:
                extra = max(len(ctx.shape) - to_value.array.ndim, 0)
                to_value = fn.sum_to_size(to_value, ctx.shape[extra:]).reshape(ctx.shape)
            to_value = to_value.to(ctx.kind)
        return to_input, to_value

    def reference(self, x: Any, index: Any, value: Any) -> Any:
        y = x.copy()
        y[index] = value
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 3), 2, 1.5), Case(T(5, 3), -1, T(3)), Case(T(5), 3, T()), Case(T(), (), T()), Case(T(5, 3), ..., T(1, 3)))
        yield from (Case(T(4, 3), (slice(1, 4, 2), slice(None)), T(2, 1)), Case(T(0, 3), slice(None), T(3)), Case(T(3, 4), 0, T(1, 1, 4)))
        yield from (Case(T(5, 3), [0, 4], T(2, 3)), Case(T(5, 3), T(5, 3, dtype="bool"), 2), Case(T(5, 3), T(5, dtype="bool"), T(3)))
        yield from (Case(T(4, 3, 2), ([0, 1], slice(None), [1, 0]), T(2, 3)), Case(T(4, 3, 2), (slice(1, 3), [0, 2]), T()))
        yield Case(T(5, 3), [], 7.0)
        yield Case(T(3, 4), 5, 1.0, error=(IndexError, "setitem: index 5 is out of range for dim 0 of size 3"))
        yield Case(T(3, 4), 1, T(3), error=(RuntimeError, "setitem: a value of shape (3,) does not fit into a selection of shape (4,)"))
        yield Case(T(3, 4), [0, 1], T(3),
                   error=(RuntimeError, "setitem: a value of shape (3,) does not fit into a selection of shape (2, 4)"))
        yield Case(T(3), 0, "1", error=(TypeError, "setitem: value must be a Tensor or a number, not a str"))
