"""lp_pool2d and lp_pool1d: the p-norm of each window."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import check_image, pooled_size, tuple_of


class LPPool2d(Op):
    """y = (sum over the window of x^p)^(1/p), p = `norm_type`, for `input` (N, C, H, W) or (C, H, W).

    Windows that ceil_mode lets reach over the edge count their mean in full, as in PyTorch.
    """

    name = "lp_pool2d"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.lp_pool2d"

    def forward(self, input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        check_image("lp_pool2d", input, 2)
        kh, kw = tuple_of("lp_pool2d", "kernel_size", kernel_size, 2, 1)
        return fn.pow(fn.avg_pool2d(fn.pow(input, norm_type), (kh, kw), stride, 0, ceil_mode) * (kh * kw), 1 / norm_type)

    def reference(self, x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        (kh, kw), (h, w) = tuple_of("", "", kernel_size, 2, 1), x.shape[-2:]
        sh, sw = (kh, kw) if stride is None else tuple_of("", "", stride, 2, 1)
        y = np.empty((*x.shape[:-2], pooled_size("", 0, h, kh, sh, 0, 1, ceil_mode), pooled_size("", 0, w, kw, sw, 0, 1, ceil_mode)))
        for i, j in np.ndindex(*y.shape[-2:]):
            window = x[..., i * sh: i * sh + kh, j * sw: j * sw + kw]
            y[..., i, j] = ((window**norm_type).mean((-1, -2)) * kh * kw) ** (1 / norm_type)
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4, 6), 2, 2), Case(T(2, 5, 5, low=0.1), 3.0, [3, 2], 1), Case(T(1, 2, 5, 7), 2.0, 3, 2, True))
        yield Case(T(3), 2, 2, error=(RuntimeError, "lp_pool2d: input must have 3 or 4 dims"))


class LPPool1d(Op):
    """y = (sum over the window of x^p)^(1/p), p = `norm_type`, for `input` (N, C, L) or (C, L)."""

    name = "lp_pool1d"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.lp_pool1d"

    def forward(self, input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        check_image("lp_pool1d", input, 1)
        (kernel,) = tuple_of("lp_pool1d", "kernel_size", kernel_size, 1, 1)
        return fn.pow(fn.avg_pool1d(fn.pow(input, norm_type), kernel, stride, 0, ceil_mode) * kernel, 1 / norm_type)

    def reference(self, x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        step = [1, kernel_size if stride is None else stride]
        return fn.lp_pool2d.op.reference(x[..., None, :], norm_type, [1, kernel_size], step, ceil_mode)[..., 0, :]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 8), 2, 3), Case(T(3, 8, low=0.1), 3, 3, 2, True))
        yield Case(T(3), 2, 2, error=(RuntimeError, "lp_pool1d: input must have 2 or 3 dims"))
