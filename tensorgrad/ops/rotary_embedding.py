"""rotary_embedding: pairs of features turned by an angle that grows with the position."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap


def as_heads(x: Any) -> Any:
    """(..., L, D) as (B, H, L, D); the features of a position are neighbours, the other steps are as they were."""
    lead = x.shape[:-2]
    return x.reshape((1,) * (2 - len(lead)) + x.shape if len(lead) < 3 else (math.prod(lead[:-1]), *x.shape[-3:]))


class RotaryEmbedding(Op):
    """Pair i of the D / 2 pairs of features at position l of `input` (..., L, D) is turned by an angle a of which tables hold cos and sin:

        y_p = x_p cos a - x_q sin a,  y_q = x_p sin a + x_q cos a,  cos a = cos[offset + l, i],  sin a = sin[offset + l, i]

    p, q are i, i + D / 2 (GPT-NeoX, Llama) or, where `interleaved`, 2 i, 2 i + 1 (RoFormer, GPT-J). With a = m base^(-2 i / D) for
    position m the product of a query and a key depends on how far apart they are; `nn.RotaryEmbedding` makes such tables. They are
    (positions, D / 2), of input's dtype, or float32 beside half precision, and have no gradients. `offset`: how many positions a cache
    of keys holds already. `inverse` turns back. Su et al., "RoFormer: Enhanced transformer with rotary position embedding",
    arXiv:2104.09864, equation 34.
    """

    name = "rotary_embedding"
    function = method = False
    functional = True
    defaults = ("cuda/v01_heads", "cuda/v00_pairs", "cpu/pairs")

    def forward(self, ctx: Node, input: Tensor, cos: Tensor, sin: Tensor, offset: int = 0, *, interleaved: bool = False,
                inverse: bool = False) -> Tensor:
        given = {"cos": cos, "sin": sin}
        check_tables(input, given, offset)
        x, xp, first = input.array, input.device.backend.xp, int(offset)
        if x.strides[-1] != x.itemsize:
            x = xp.ascontiguousarray(x)
        rows = [xp.ascontiguousarray(t.array[first:first + x.shape[-2]]) for t in given.values()]
        y = xp.empty(x.shape, x.dtype)
        self.kernel(input.device, x)(as_heads(y), as_heads(x), *rows, int(interleaved), int(inverse))
        ctx.save(cos, sin)
        ctx.offset, ctx.options = first, {"interleaved": interleaved, "inverse": not inverse}
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        return fn.rotary_embedding(g, *ctx.saved, ctx.offset, **ctx.options), None, None

    def reference(self, x: Any, cos: Any, sin: Any, offset: int = 0, interleaved: bool = False, inverse: bool = False) -> Any:
        half, rows = x.shape[-1] // 2, slice(offset, offset + x.shape[-2])
        p, q = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(half), slice(half, None))
        c, s = cos[rows], -sin[rows] if inverse else sin[rows]
        y = np.empty_like(x)
        y[..., p] = x[..., p] * c - x[..., q] * s
        y[..., q] = x[..., p] * s + x[..., q] * c
        return y

    def cost(self, input: Any, cos: Any, sin: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        entries = input.shape[-2] * input.shape[-1] // 2
        return 3.0 * input.numel(), float(2 * input.nbytes + entries * (cos.array.itemsize + sin.array.itemsize))

    def cases(self) -> Iterable[Case]:
        def table(*shape: int) -> T:
            return T(*shape, low=-1, high=1, grad=False)

        for interleaved, inverse in ((False, False), (True, False), (True, True)):
            yield Case(T(2, 3, 5, 6), table(5, 3), table(5, 3), interleaved=interleaved, inverse=inverse)
            yield Case(T(1, 3, 2, 32), table(9, 16), table(9, 16), 4, interleaved=interleaved, inverse=inverse)
        yield from (Case(T(4, 2), table(7, 1), table(7, 1), 3, inverse=True), Case(T(3, 1, 14), table(1, 7), table(1, 7)))
        yield from (Case(T(2, 0, 3, 4), table(3, 2), table(3, 2)), Case(T(2, 1, 2, 3, 8), table(3, 4), table(3, 4)))
        yield Case(T(3, 5), table(3, 2), table(3, 2), error=(RuntimeError, "rotary_embedding: input has 5 features, which are no pairs"))
        yield Case(T(4), table(3, 2), table(3, 2), error=(RuntimeError, "rotary_embedding: input must be (..., positions, features)"))
        yield Case(T(3, 4), table(4, 2), table(4, 2), 2, error=(RuntimeError, "needs 5 rows of 2, cos has shape (4, 2)"))
        yield Case(T(3, 4), table(3, 2), table(3, 4), error=(RuntimeError, "needs 3 rows of 2, sin has shape (3, 4)"))
        yield Case(T(3, 4), table(3, 2), table(3, 2), -1, error=(ValueError, "rotary_embedding: offset must be at least 0, got -1"))
        yield Case(T(3, 4, dtype="int64"), table(3, 2), table(3, 2), error=(RuntimeError, "rotary_embedding: needs a floating tensor"))


def check_tables(input: Tensor, tables: dict[str, Tensor], offset: int) -> None:
    """Refuse an input without pairs of features, and tables that do not fit it."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"rotary_embedding: needs a floating tensor, got {input.dtype.name}; convert with .float()")
    if input.ndim < 2:
        raise RuntimeError(f"rotary_embedding: input must be (..., positions, features), got shape {tuple(input.shape)}")
    positions, features = input.shape[-2:]
    if features % 2:
        raise RuntimeError(f"rotary_embedding: input has {features} features, which are no pairs, in shape {tuple(input.shape)}")
    if offset < 0:
        raise ValueError(f"rotary_embedding: offset must be at least 0, got {offset}")
    for name, t in tables.items():
        if t.ndim != 2 or t.shape[0] < offset + positions or t.shape[1] != features // 2:
            raise RuntimeError(f"rotary_embedding: input of shape {tuple(input.shape)} from position {offset} on needs "
                               f"{offset + positions} rows of {features // 2}, {name} has shape {tuple(t.shape)}")
        if t.device is not input.device:
            raise RuntimeError(f"rotary_embedding: input is on {input.device} but {name} is on {t.device}; move one with .to(...)")
        if t.dtype is not input.dtype and not (t.dtype is dtypes.float32 and input.dtype in (dtypes.float16, dtypes.bfloat16)):
            raise RuntimeError(f"rotary_embedding: input is {input.dtype.name} but {name} is {t.dtype.name}; it may be of that dtype, or "
                               "float32 beside half precision")
        if t.requires_grad:
            raise RuntimeError(f"rotary_embedding: there is no gradient for tables; pass {name}.detach()")
