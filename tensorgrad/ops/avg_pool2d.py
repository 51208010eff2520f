"""avg_pool2d: the mean of each window."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import average_taps, check_image, pooled_size, tuple_of


class AvgPool2d(Op):
    """y[n, c, i, j] = (sum of the window at (i, j)) / divisor, for `input` of shape (N, C, H, W) or (C, H, W).

    The divisor counts the window's elements, padding included unless `count_include_pad` is False (what ceil_mode adds beyond the
    padding never counts); `divisor_override` replaces it. Computed as two sparse products, one a dim (`resample`).
    """

    name = "avg_pool2d"
    function = method = False
    functional = True
    composite = True
    group = "resample"
    torch_name = "nn.functional.avg_pool2d"

    def forward(self, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
        check_image("avg_pool2d", input, 2)
        kernel = tuple_of("avg_pool2d", "kernel_size", kernel_size, 2, 1)
        stride = kernel if stride is None or stride in ([], ()) else tuple_of("avg_pool2d", "stride", stride, 2, 1)
        padding = tuple_of("avg_pool2d", "padding", padding, 2, 0)
        if divisor_override is not None and divisor_override == 0:
            raise RuntimeError("avg_pool2d: divisor_override must not be 0")
        taps = []
        for i, n in enumerate(input.array.shape[-2:]):
            size = pooled_size("avg_pool2d", input.array.ndim - 2 + i, n, kernel[i], stride[i], padding[i], 1, bool(ceil_mode))
            taps.append(average_taps(n, size, kernel[i], stride[i], padding[i], bool(count_include_pad), divisor_override is not None))
        y = fn.resample(input, *taps)
        return y if divisor_override is None else y * (1.0 / divisor_override)

    def reference(self, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                  count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
        (kh, kw), (ph, pw) = tuple_of("", "", kernel_size, 2, 1), tuple_of("", "", padding, 2, 0)
        sh, sw = (kh, kw) if stride is None else tuple_of("", "", stride, 2, 1)
        h, w = x.shape[-2:]
        y = np.empty((*x.shape[:-2], pooled_size("", 0, h, kh, sh, ph, 1, ceil_mode), pooled_size("", 0, w, kw, sw, pw, 1, ceil_mode)))
        for i, j in np.ndindex(*y.shape[-2:]):
            top, left = i * sh - ph, j * sw - pw
            bottom, right = min(top + kh, h + ph), min(left + kw, w + pw)
            window = x[..., max(top, 0): min(bottom, h), max(left, 0): min(right, w)]
            count = (bottom - top) * (right - left) if count_include_pad else window.shape[-1] * window.shape[-2]
            y[..., i, j] = window.sum((-1, -2)) / (divisor_override or count)
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4, 6), 2), Case(T(1, 2, 7, 7), 3, 2, 1), Case(T(2, 5, 5), 2, 1), Case(T(0, 3, 4, 4), 2))
        yield from (Case(T(1, 2, 8, 37), 3, 2, ceil_mode=True), Case(T(1, 1, 3, 5), [3, 2], [1, 2], [1, 0], count_include_pad=False))
        yield from (Case(T(1, 2, 9, 11), 3, [2, 3], 1, ceil_mode=True, count_include_pad=False), Case(T(1, 1, 7, 7), 7))
        yield from (Case(T(1, 2, 4, 4), 2, divisor_override=3), Case(T(1, 1, 6, 6), 3, 2, 1, ceil_mode=True))
        yield Case(T(2, 3), 2, error=(RuntimeError, "avg_pool2d: input must have 3 or 4 dims"))
        yield Case(T(1, 1, 4, 4), 2, divisor_override=0, error=(RuntimeError, "avg_pool2d: divisor_override must not be 0"))
        yield Case(T(1, 1, 4, 4), [1, 6], error=(RuntimeError, "a window of 6 (kernel 6, dilation 1) does not fit dim 3 of size 4"))

    def cost(self, input: Any, kernel_size: Any, stride: Any = None, *args: Any, **kwargs: Any) -> tuple[float, float]:
        (kh, kw), n = tuple_of("", "", kernel_size, 2, 1), float(np.prod(input.shape))
        sh, sw = (kh, kw) if stride is None else tuple_of("", "", stride, 2, 1)
        return n / (sh * sw) * kh * kw, n * (1 + 1 / (sh * sw)) * input.dtype.itemsize
