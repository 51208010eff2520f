"""adaptive_avg_pool3d: means over as many windows of a volume as asked for."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op
from ..tensor import Tensor
from .shared.volumes import resampled
from .shared.windows import adaptive_taps, check_image, output_sizes


class AdaptiveAvgPool3d(Op):
    """The mean of x[n, c, floor(i D / DO) : ceil((i + 1) D / DO), ...] for each (i, j, k) of `output_size` = (DO, HO, WO).

    One int stands for all three sizes; None keeps the input's. `input` is (N, C, D, H, W) or (C, D, H, W).
    """

    name = "adaptive_avg_pool3d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    composite = True
    group = "resample"
    torch_name = "nn.functional.adaptive_avg_pool3d"

    def forward(self, input: Tensor, output_size: Any) -> Tensor:
        check_image("adaptive_avg_pool3d", input, 3)
        sizes = input.array.shape[-3:]
        out = output_sizes("adaptive_avg_pool3d", output_size, sizes)
        return resampled(input, [None if o == n else adaptive_taps(n, o) for n, o in zip(sizes, out, strict=True)])

    def reference(self, x: Any, output_size: Any) -> Any:
        for d, o in zip((-3, -2, -1), output_sizes("", output_size, x.shape[-3:]), strict=True):
            n = x.shape[d]
            parts = [np.take(x, range(i * n // o, -(-(i + 1) * n // o)), d).mean(d) for i in range(o)]
            x = np.stack(parts, d)
        return x

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4, 3, 5), 1), Case(T(1, 2, 5, 4, 3), [3, 2, 2]), Case(T(2, 3, 4, 5), [None, 3, 7]))
        yield Case(T(0, 3, 4, 4, 4), 2)
        yield Case(T(2, 3), 2, error=(RuntimeError, "adaptive_avg_pool3d: input must have 4 or 5 dims"))
        yield Case(T(1, 1, 4, 4, 4), [1, 2], error=(RuntimeError, "adaptive_avg_pool3d: output_size must be one int or 3"))
