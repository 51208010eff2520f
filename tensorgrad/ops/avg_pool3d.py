"""avg_pool3d: the mean of each window of a volume."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .shared.volumes import resampled
from .shared.windows import average_taps, check_image, pooled_size, tuple_of


class AvgPool3d(Op):
    """y[n, c, i, j, k] = (sum of the window at (i, j, k)) / divisor, for `input` (N, C, D, H, W) or (C, D, H, W).

    The divisor counts the window's elements, padding included unless `count_include_pad` is False (what ceil_mode adds beyond the
    padding never counts); `divisor_override` replaces it. Computed as three sparse products, one a dim (`resample`).
    """

    name = "avg_pool3d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    composite = True
    group = "resample"
    torch_name = "nn.functional.avg_pool3d"

    def forward(self, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
        check_image("avg_pool3d", input, 3)
        kernel = tuple_of("avg_pool3d", "kernel_size", kernel_size, 3, 1)
        stride = kernel if stride is None or stride == [] else tuple_of("avg_pool3d", "stride", stride, 3, 1)
        padding = tuple_of("avg_pool3d", "padding", padding, 3, 0)
        if divisor_override is not None and divisor_override == 0:
            raise RuntimeError("avg_pool3d: divisor_override must not be 0")
        taps = []
        for i, n in enumerate(input.array.shape[-3:]):
            size = pooled_size("avg_pool3d", input.array.ndim - 3 + i, n, kernel[i], stride[i], padding[i], 1, bool(ceil_mode))
            taps.append(average_taps(n, size, kernel[i], stride[i], padding[i], bool(count_include_pad), divisor_override is not None))
        y = resampled(input, taps)
        return y if divisor_override is None else y * (1.0 / divisor_override)

    def reference(self, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                  count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
        k, p = tuple_of("", "", kernel_size, 3, 1), tuple_of("", "", padding, 3, 0)
        s, sizes = k if stride is None else tuple_of("", "", stride, 3, 1), x.shape[-3:]
        out = [pooled_size("", 0, n, k[i], s[i], p[i], 1, ceil_mode) for i, n in enumerate(sizes)]
        y = np.empty((*x.shape[:-3], *out))
        for index in np.ndindex(*out):
            begin = [j * s[i] - p[i] for i, j in enumerate(index)]
            end = [min(b + k[i], sizes[i] + p[i]) for i, b in enumerate(begin)]
            inside = [slice(max(b, 0), min(e, n)) for b, e, n in zip(begin, end, sizes, strict=True)]
            window = x[(..., *inside)]
            count = np.prod([e - b for b, e in zip(begin, end, strict=True)]) if count_include_pad else np.prod(window.shape[-3:])
            y[(..., *index)] = window.sum((-1, -2, -3)) / (divisor_override or count)
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4, 4, 5), 2), Case(T(1, 2, 5, 5, 4), 3, 2, 1), Case(T(0, 2, 3, 3, 3), 2))
        yield from (Case(T(2, 5, 6, 7), [2, 3, 1], [1, 2, 3], [1, 0, 0], ceil_mode=True, count_include_pad=False),
                    Case(T(1, 1, 5, 4, 6), 2, 1, divisor_override=3))
        yield Case(T(2, 3), 2, error=(RuntimeError, "avg_pool3d: input must have 4 or 5 dims"))
        yield Case(T(1, 1, 2, 4, 4), 3,
                   error=(RuntimeError, "avg_pool3d: a window of 3 (kernel 3, dilation 1) does not fit dim 2 of size 2"))
        yield Case(T(1, 1, 4, 4, 4), 2, divisor_override=0, error=(RuntimeError, "avg_pool3d: divisor_override must not be 0"))
