"""avg_pool1d: the mean of each window of a line."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import average_taps, check_image, pooled_size, tuple_of


class AvgPool1d(Op):
    """y[n, c, i] = mean of the window of x[n, c] that starts at i stride - padding, for `input` (N, C, L) or (C, L).

    The divisor counts the padding too unless `count_include_pad` is False.
    """

    name = "avg_pool1d"
    torch_name = "nn.functional.avg_pool1d"
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                count_include_pad: bool = True) -> Tensor:
        check_image("avg_pool1d", input, 1)
        (kernel,) = tuple_of("avg_pool1d", "kernel_size", kernel_size, 1, 1)
        (step,) = (kernel,) if stride is None or stride == [] else tuple_of("avg_pool1d", "stride", stride, 1, 1)
        (pad,), n = tuple_of("avg_pool1d", "padding", padding, 1, 0), input.array.shape[-1]
        size = pooled_size("avg_pool1d", input.array.ndim - 1, n, kernel, step, pad, 1, bool(ceil_mode))
        return fn.resample(input, None, average_taps(n, size, kernel, step, pad, bool(count_include_pad), False))

    def reference(self, x: Any, kernel_size: Any, stride: Any = None, padding: int = 0, ceil_mode: bool = False,
                  count_include_pad: bool = True) -> Any:
        step = kernel_size if stride is None else stride
        row = fn.avg_pool2d.op.reference(x[..., None, :], [1, kernel_size], [1, step], [0, padding], ceil_mode, count_include_pad)
        return row[..., 0, :]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 8), 2), Case(T(3, 7), 3, 2, 1), Case(T(1, 2, 38), 5, 3, 2, True, False), Case(T(1, 1, 6), 4, 4, 0, True))
        yield Case(T(2, 3, 4), 5, error=(RuntimeError, "avg_pool1d: a window of 5 (kernel 5, dilation 1) does not fit dim 2 of size 4"))
        yield Case(T(3), 2, error=(RuntimeError, "avg_pool1d: input must have 2 or 3 dims"))
