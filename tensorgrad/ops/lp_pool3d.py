"""lp_pool3d: the p-norm of each window of a volume."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import check_image, tuple_of


class LPPool3d(Op):
    """y = (sum over the window of x^p)^(1/p), p = `norm_type`, for `input` (N, C, D, H, W) or (C, D, H, W); ceil_mode as in lp_pool2d."""

    name = "lp_pool3d"
    autocast = ("float32", "float32")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.lp_pool3d"

    def forward(self, input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        check_image("lp_pool3d", input, 3)
        kernel = tuple_of("lp_pool3d", "kernel_size", kernel_size, 3, 1)
        return fn.pow(fn.avg_pool3d(fn.pow(input, norm_type), kernel, stride, 0, ceil_mode) * math.prod(kernel), 1 / norm_type)

    def reference(self, x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        count = math.prod(tuple_of("", "", kernel_size, 3, 1))
        return (fn.avg_pool3d.op.reference(x**norm_type, kernel_size, stride, 0, ceil_mode) * count) ** (1 / norm_type)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(1, 2, 4, 4, 3), 2, 2), Case(T(2, 5, 4, 3, low=0.1), 3.0, [3, 2, 1], 1), Case(T(1, 2, 3, 5, 4), 2.0, 2, 2, True))
        yield Case(T(3), 2, 2, error=(RuntimeError, "lp_pool3d: input must have 4 or 5 dims"))
