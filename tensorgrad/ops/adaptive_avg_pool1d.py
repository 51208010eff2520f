"""adaptive_avg_pool1d: means over as many windows of a line as asked for."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import adaptive_taps, check_image, output_sizes


class AdaptiveAvgPool1d(Op):
    """y[n, c, i] = mean of x[n, c, floor(i L / LO) : ceil((i + 1) L / LO)], for `input` (N, C, L) or (C, L)."""

    name = "adaptive_avg_pool1d"
    torch_name = "nn.functional.adaptive_avg_pool1d"
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, output_size: Any) -> Tensor:
        check_image("adaptive_avg_pool1d", input, 1)
        n = input.array.shape[-1]
        return fn.resample(input, None, adaptive_taps(n, *output_sizes("adaptive_avg_pool1d", output_size, (n,))))

    def reference(self, x: Any, output_size: Any) -> Any:
        return fn.adaptive_avg_pool2d.op.reference(x[..., None, :], [1, *output_sizes("", output_size, x.shape[-1:])])[..., 0, :]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 7), 3), Case(T(3, 5), [1]), Case(T(1, 2, 3), 7), Case(T(0, 2, 4), 2))
        yield Case(T(3), 2, error=(RuntimeError, "adaptive_avg_pool1d: input must have 2 or 3 dims"))
        yield Case(T(1, 2, 3), [1, 2], error=(RuntimeError, "adaptive_avg_pool1d: output_size must be one int or 1"))
