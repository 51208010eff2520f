"""adaptive_avg_pool2d: means over as many windows as asked for."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import adaptive_taps, check_image, output_sizes


class AdaptiveAvgPool2d(Op):
    """y[n, c, i, j] = mean of x[n, c, floor(i H / HO) : ceil((i + 1) H / HO), floor(j W / WO) : ceil((j + 1) W / WO)].

    `output_size` is (HO, WO), or one int for both; None keeps the input's size. `input` is (N, C, H, W) or (C, H, W).
    """

    name = "adaptive_avg_pool2d"
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.adaptive_avg_pool2d"

    def forward(self, input: Tensor, output_size: Any) -> Tensor:
        check_image("adaptive_avg_pool2d", input, 2)
        sizes = input.array.shape[-2:]
        out = output_sizes("adaptive_avg_pool2d", output_size, sizes)
        return fn.resample(input, *[None if o == n else adaptive_taps(n, o) for n, o in zip(sizes, out, strict=True)])

    def reference(self, x: Any, output_size: Any) -> Any:
        (h, w), (ho, wo) = x.shape[-2:], output_sizes("", output_size, x.shape[-2:])
        y = np.empty((*x.shape[:-2], ho, wo))
        for i, j in np.ndindex(ho, wo):
            y[..., i, j] = x[..., i * h // ho: -(-(i + 1) * h // ho), j * w // wo: -(-(j + 1) * w // wo)].mean((-1, -2))
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 7, 5), 1), Case(T(1, 2, 7, 5), [3, 2]), Case(T(2, 5, 7), [None, 3]), Case(T(0, 3, 4, 4), 2))
        yield from (Case(T(1, 2, 3, 4), [5, 7]), Case(T(1, 1, 6, 32), [3, 16]), Case(T(1, 1, 3, 3), [0, 2], torch=False))
        yield Case(T(2, 3), 2, error=(RuntimeError, "adaptive_avg_pool2d: input must have 3 or 4 dims"))
        yield Case(T(1, 1, 4, 4), [1, 2, 3], error=(RuntimeError, "adaptive_avg_pool2d: output_size must be one int or 2"))
        yield Case(T(1, 1, 4, 4), -1, error=(RuntimeError, "adaptive_avg_pool2d: output_size must not be negative"))
