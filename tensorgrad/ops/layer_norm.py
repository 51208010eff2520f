"""layer_norm: each row brought to mean 0 and variance 1."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.normalization import check_eps, check_parameter, flat, holds_row, normalized, row_bytes


class LayerNorm(Op):
    """y = (x - mean) / sqrt(var + eps) * weight + bias; mean and (biased) variance over the last dims, of shape `normalized_shape`.

    weight and bias have that shape, or are None. Statistics are summed in float64. Ba, Kiros, Hinton, "Layer normalization", 2016.
    """

    name = "layer_norm"
    autocast = ("", "float32")
    method = False
    functional = True
    defaults = ("cuda/v02_persistent", "cuda/v01_welford", "cpu/rows", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
                bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
        shape, rows, n = normalized("layer_norm", input, normalized_shape)
        check_parameter("layer_norm", "weight", weight, shape, input)
        check_parameter("layer_norm", "bias", bias, shape, input)
        ctx.eps = check_eps("layer_norm", eps)
        x, xp = input.array, input.device.backend.xp
        y, ctx.mean, ctx.rstd = xp.empty(x.shape, x.dtype), xp.empty(rows), xp.empty(rows)
        run = self.kernel(input.device, x, row_bytes(x, n))
        run(y.reshape(rows, n), ctx.mean, ctx.rstd, xp.ascontiguousarray(x).reshape(rows, n), flat(weight, xp), flat(bias, xp), ctx.eps)
        ctx.shape, ctx.bias = shape, None if bias is None else bias.array.dtype
        ctx.save(input, weight)
        return wrap(y, input.device)

    def supports(self, kernel: Kernel, size: int = 0) -> str | None:
        return holds_row(kernel, size, 64 * 1024)

    @staticmethod
    @rung("cpu/numpy", writes=(0, 1, 2))
    def two_passes(y: Any, mean: Any, rstd: Any, x: Any, weight: Any, bias: Any, eps: float) -> None:
        """The definition, in float64."""
        wide = x.astype(np.float64)
        mean[...] = wide.mean(1)
        rstd[...] = 1 / np.sqrt(wide.var(1) + eps)
        out = (wide - mean[:, None]) * rstd[:, None]
        y[...] = out * (1 if weight is None else weight) + (0 if bias is None else bias)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, weight = ctx.saved
        return fn.norm_backward.op.gradients(ctx, g, x, weight, ctx.mean)

    def reference(self, x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        dims = tuple(range(x.ndim - len(np.atleast_1d(normalized_shape)), x.ndim))
        y = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)
        return y * (1 if weight is None else weight) + (0 if bias is None else bias)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 7), [7]), Case(T(2, 3, 5), [3, 5], T(3, 5), T(3, 5)), Case(T(3, 16), [16], T(16)), Case(T(6), [6]))
        yield from (Case(T(5, 37), [37], None, T(37), 1e-3), Case(T(2, 1), [1], T(1), T(1), torch=False), Case(T(33, 8), [8], T(8), T(8)))
        yield from (Case(T(0, 5), [5], T(5), T(5)), Case(T(70, 2), [2], T(2), T(2)))
        yield Case(T(2, 3), [2], error=(RuntimeError, "layer_norm: normalized_shape (2,) is not how the shape (2, 3) of input ends"))
        yield Case(T(2, 3), [3], T(2), error=(RuntimeError, "layer_norm: weight has shape (2,) but input of shape (2, 3) needs (3,)"))
        yield Case(T(2, 3), [3], T(3), T(3, 1), error=(RuntimeError, "layer_norm: bias has shape (3, 1)"))
        yield Case(T(2, 3, dtype="int64"), [3], error=(NotImplementedError, "layer_norm"))

    def cost(self, input: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        return 8 * n, 2 * n * input.dtype.itemsize
