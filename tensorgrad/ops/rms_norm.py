"""rms_norm: each row divided by its root mean square."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.normalization import check_eps, check_parameter, flat, holds_row, normalized, row_bytes


class RMSNorm(Op):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last dims, of shape `normalized_shape`; eps None: the dtype's epsilon.

    Zhang, Sennrich, "Root mean square layer normalization", 2019.
    """

    name = "rms_norm"
    autocast = ("", "float32")
    method = False
    functional = True
    defaults = ("cuda/v02_persistent", "cuda/v01_welford", "cpu/rows", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
                eps: float | None = None) -> Tensor:
        ctx.shape, rows, n = normalized("rms_norm", input, normalized_shape)
        check_parameter("rms_norm", "weight", weight, ctx.shape, input)
        ctx.eps = check_eps("rms_norm", dtypes.finfo(input.dtype).eps if eps is None else eps)
        x, xp = input.array, input.device.backend.xp
        y, ctx.rstd, ctx.bias = xp.empty(x.shape, x.dtype), xp.empty(rows), None
        run = self.kernel(input.device, x, row_bytes(x, n))
        run(y.reshape(rows, n), ctx.rstd, xp.ascontiguousarray(x).reshape(rows, n), flat(weight, xp), ctx.eps)
        ctx.save(input, weight)
        return wrap(y, input.device)

    def supports(self, kernel: Kernel, size: int = 0) -> str | None:
        return holds_row(kernel, size, 64 * 1024)

    @staticmethod
    @rung("cpu/numpy", writes=(0, 1))
    def definition(y: Any, rstd: Any, x: Any, weight: Any, eps: float) -> None:
        """The definition, in float64."""
        wide = x.astype(np.float64)
        rstd[...] = 1 / np.sqrt((wide * wide).mean(1) + eps)
        y[...] = wide * rstd[:, None] * (1 if weight is None else weight)

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, weight = ctx.saved
        return fn.norm_backward.op.gradients(ctx, g, x, weight, None)

    def reference(self, x: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
        dims = tuple(range(x.ndim - len(normalized_shape), x.ndim))
        y = x / np.sqrt((x * x).mean(dims, keepdims=True) + (np.finfo(np.float64).eps if eps is None else eps))
        return y * (1 if weight is None else weight)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(4, 7), [7]), Case(T(2, 3, 5), [3, 5], T(3, 5)), Case(T(3, 16), [16], T(16), 1e-5), Case(T(0, 5), [5], T(5)))
        yield from (Case(T(5, 37), [37], None, 1e-3), Case(T(2, 1), [1], T(1), 0.1), Case(T(33, 8), [8], T(8), 1e-6))
        yield Case(T(2, 3), [2], error=(RuntimeError, "rms_norm: normalized_shape (2,) is not how the shape (2, 3) of input ends"))
        yield Case(T(2, 3), [3], T(2), error=(RuntimeError, "rms_norm: weight has shape (2,)"))

    def cost(self, input: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        return 4 * n, 2 * n * input.dtype.itemsize
