"""max_unpool1d: put pooled values of lines back where they came from."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import check_image, tuple_of


class MaxUnpool1d(Op):
    """y[n, c, indices[n, c, i]] = input[n, c, i], zero elsewhere: max_unpool2d on one row.

    `indices` come from `max_pool1d(..., return_indices=True)`. The size of y is (L - 1) stride - 2 padding + kernel, or `output_size`
    (its last number), which may differ from that by less than a stride.
    """

    name = "max_unpool1d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.max_unpool1d"

    def forward(self, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                output_size: Any = None) -> Tensor:
        check_image("max_unpool1d", input, 1)
        (kernel,) = tuple_of("max_unpool1d", "kernel_size", kernel_size, 1, 1)
        (step,) = (kernel,) if stride is None else tuple_of("max_unpool1d", "stride", stride, 1, 1)
        (pad,) = tuple_of("max_unpool1d", "padding", padding, 1, 0)
        if tuple(indices.shape) != tuple(input.shape):
            raise RuntimeError(f"max_unpool1d: input has shape {tuple(input.shape)} but indices {tuple(indices.shape)}")
        usual = (input.shape[-1] - 1) * step - 2 * pad + kernel
        if output_size is not None and not usual - step < tuple(output_size)[-1] < usual + step:
            raise ValueError(f"max_unpool1d: output_size {tuple(output_size)} is not within a stride {step} of {usual}")
        size = (1, usual if output_size is None else tuple(output_size)[-1])
        y = fn.max_unpool2d(fn.unsqueeze(input, -2), fn.unsqueeze(indices, -2), (1, kernel), (1, step), (0, pad), size)  # (..., 1, L)
        return fn.squeeze(y, -2)

    def reference(self, x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
        step = kernel_size if stride is None else stride
        size = (x.shape[-1] - 1) * step - 2 * padding + kernel_size if output_size is None else output_size[-1]
        y = np.zeros((*x.shape[:-1], size))
        np.put_along_axis(y, indices, x, -1)
        return y

    def cases(self) -> Iterable[Case]:
        at = T(values=np.array([[0, 3, 5]]).repeat(2, 0), dtype="int64")
        yield from (Case(T(2, 3), at, 2), Case(T(2, 3), at, 2, output_size=[7]), Case(T(2, 3), at, 4, 3, 1))
        yield Case(T(2, 3), T(2, 4, dtype="int64"), 2, error=(RuntimeError, "max_unpool1d: input has shape (2, 3) but indices (2, 4)"))
        yield Case(T(2, 3), at, 2, output_size=[9], error=(ValueError, "max_unpool1d: output_size (9,) is not within a stride 2 of 6"))
