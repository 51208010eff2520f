"""embedding: rows of a table, picked by index."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.lookup import checked_indices, checked_padding, frequencies, shorten


class Embedding(Op):
    """y[..., :] = weight[input[...], :] for integer `input` and a table `weight` (rows, features).

    The row `padding_idx` gets no gradient. `max_norm` first scales the rows looked up down to that p-norm, in place (p =
    `norm_type`). With `scale_grad_by_freq` a row's gradient is divided by how often it occurs in `input`.
    """

    name = "embedding"
    function = method = False
    functional = True
    torch_name = "nn.functional.embedding"
    defaults = ("cuda/pick", "cpu/copy", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
                norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
        if sparse:
            raise NotImplementedError("embedding: sparse gradients are not supported; use sparse=False")
        index = checked_indices("embedding", input, weight)
        rows, features = weight.array.shape
        ctx.padding = checked_padding("embedding", padding_idx, rows)
        if max_norm is not None:
            shorten(weight, index, max_norm, norm_type)
        xp, flat = input.device.backend.xp, index.reshape(-1)
        y = xp.empty((*index.shape, features), weight.array.dtype)
        self.kernel(input.device, weight.array)(y.reshape(flat.size, features), xp.ascontiguousarray(weight.array), flat)
        ctx.rows, ctx.by_frequency = rows, scale_grad_by_freq
        ctx.save(input)
        return wrap(y, input.device)

    @staticmethod
    @rung("cpu/numpy", types="float16 bfloat16 float32 float64")
    def take(y: Any, weight: Any, index: Any) -> None:
        """np.take."""
        y[...] = weight[index]

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        (input,) = ctx.saved
        index, source = input.array.astype(np.int64).reshape(-1), None
        lines = fn.reshape(g, index.size, g.array.shape[-1])
        if ctx.padding is not None:
            source = g.device.backend.xp.flatnonzero(index != ctx.padding)
            index = index[source]
        scale = wrap((1 / frequencies(g.device.backend.xp, index, ctx.rows)).astype(g.array.dtype), g.device) if ctx.by_frequency else None
        return None, fn.add_rows(lines, scale, source, index, ctx.rows)

    def reference(self, input: Any, weight: Any, *args: Any, **kwargs: Any) -> Any:
        return weight[input]

    def cost(self, input: Any, weight: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        n, rows = input.array.size, len(input.device.backend.xp.unique(input.array))
        return 0.0, float(8 * n + (n + rows) * weight.array.shape[1] * weight.array.itemsize)

    def cases(self) -> Iterable[Case]:
        def index(*shape: int) -> T:
            return T(*shape, dtype="int64", low=0, high=7)

        yield from (Case(index(5), T(7, 3)), Case(index(2, 3), T(7, 4)), Case(index(), T(7, 2)), Case(index(0), T(7, 3)))
        yield from (Case(T(6, dtype="int32", low=0, high=7), T(7, 17)), Case(T(values=[0, 0, 0], dtype="int64"), T(1, 1)))
        yield Case(index(4), T(7, 0))
        for options in ({"padding_idx": 2}, {"scale_grad_by_freq": True}):  # gradients that are not derivatives: tests/test_embedding.py
            yield Case(index(9), T(7, 2, grad=False), **options)
        yield Case(T(values=[[0, 1], [7, 2]], dtype="int64"), T(7, 2), error=(IndexError, "index 7 at position (1, 0) of input is out"))
        yield Case(T(values=[-1], dtype="int64"), T(7, 2), error=(IndexError, "embedding: index -1 at position (0,)"))
        yield Case(T(3), T(7, 2), error=(RuntimeError, "embedding: input must hold int64 or int32 indices, got float32"))
        yield Case(index(2), T(7), error=(RuntimeError, "embedding: weight must be a table (rows, features), got shape (7,)"))
        yield Case(index(2), T(7, 2), padding_idx=8, error=(ValueError, "embedding: padding_idx 8 is out of range"), torch=False)
        yield Case(index(2), T(7, 2), sparse=True, error=(NotImplementedError, "embedding: sparse gradients"), torch=False)
