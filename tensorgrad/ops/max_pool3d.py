"""max_pool3d: the largest value of each window of a volume."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.volumes import largest, reference_windows
from .shared.windows import check_image, pooled_size, tuple_of


class MaxPool3d(Op):
    """y[n, c, i, j, k] = max over (a, b, e) of x[n, c, i sd - pd + a dd, j sh - ph + b dh, k sw - pw + e dw].

    `input` is (N, C, D, H, W) or (C, D, H, W): max_pool2d of each plane, then along the depth. With `return_indices` the result is
    (y, indices), the int64 position of each maximum within its volume: the first among equals.
    """

    name = "max_pool3d"
    autocast = ("float32", "")
    torch_name = "nn.functional.max_pool3d"
    method = False
    functional = True
    composite = True
    group = "max_pool2d"

    def forward(self, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
                return_indices: bool = False) -> Any:
        check_image("max_pool3d", input, 3)
        kernel = tuple_of("max_pool3d", "kernel_size", kernel_size, 3, 1)
        step = kernel if stride is None or stride == [] else tuple_of("max_pool3d", "stride", stride, 3, 1)
        pad, spread = tuple_of("max_pool3d", "padding", padding, 3, 0), tuple_of("max_pool3d", "dilation", dilation, 3, 1)
        for i, n in enumerate(input.array.shape[-3:]):
            pooled_size("max_pool3d", input.array.ndim - 3 + i, n, kernel[i], step[i], pad[i], spread[i], bool(ceil_mode))

        def planes(x: Tensor) -> Any:
            return fn.max_pool2d(x, kernel[1:], step[1:], pad[1:], spread[1:], ceil_mode, return_indices)

        def depths(x: Tensor) -> Any:
            return fn.max_pool2d(x, (kernel[0], 1), (step[0], 1), (pad[0], 0), (spread[0], 1), ceil_mode, return_indices)

        return largest(input, planes, depths, return_indices)

    def reference(self, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
                  return_indices: bool = False) -> Any:
        k, p, d = (tuple_of("", "", v, 3, 0) for v in (kernel_size, padding, dilation))
        s = k if stride is None else tuple_of("", "", stride, 3, 1)
        ranges = []
        for i, n in enumerate(x.shape[-3:]):
            starts = [j * s[i] - p[i] for j in range(pooled_size("", 0, n, k[i], s[i], p[i], d[i], ceil_mode))]
            ranges.append([[a for a in range(start, start + k[i] * d[i], d[i]) if 0 <= a < n] for start in starts])
        y, at = reference_windows(x, ranges)
        return (y, at) if return_indices else y

    def cases(self) -> Iterable[Case]:
        def x(*shape: int) -> T:
            return T(*shape, distinct=True)

        yield from (Case(x(2, 3, 4, 4, 5), 2), Case(x(1, 2, 5, 5, 4), 3, 2, 1, return_indices=True), Case(x(0, 2, 3, 3, 3), 2))
        yield from (Case(x(2, 5, 6, 7), [2, 3, 1], [1, 2, 3], [1, 0, 0], ceil_mode=True, return_indices=True),
                    Case(x(1, 1, 5, 4, 6), 2, 1, 0, [2, 1, 3]))
        yield Case(T(2, 3), 2, error=(RuntimeError, "max_pool3d: input must have 4 or 5 dims"))
        yield Case(T(1, 1, 2, 4, 4), 3,
                   error=(RuntimeError, "max_pool3d: a window of 3 (kernel 3, dilation 1) does not fit dim 2 of size 2"))
