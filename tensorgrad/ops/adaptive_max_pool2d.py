"""adaptive_max_pool2d: the largest value of each of as many windows as asked for."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.windows import adaptive_ranges, adaptive_reach, check_image, empty_like, laid_out, output_sizes, there


class AdaptiveMaxPool2d(Op):
    """y[n, c, i, j] = max of x[n, c, floor(i H / HO) : ceil((i + 1) H / HO), floor(j W / WO) : ceil((j + 1) W / WO)].

    `output_size` is (HO, WO), or one int for both; None keeps the input's size. `input` is (N, C, H, W) or (C, H, W).
    With `return_indices` the result is (y, indices), the int64 position of each maximum within its plane. NaN wins.
    """

    name = "adaptive_max_pool2d"
    function = method = False
    functional = True
    torch_name = "nn.functional.adaptive_max_pool2d"

    def forward(self, ctx: Node, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        check_image("adaptive_max_pool2d", input, 2)
        x, xp = input.array, input.device.backend.xp
        size = x.shape[-2:]
        out = output_sizes("adaptive_max_pool2d", output_size, size)
        kernel = self.chosen(input.device, x)
        y, indices = (empty_like(kernel, x, (*x.shape[:-2], *out), dtype, xp) for dtype in (x.dtype, np.int64))
        windows = [w for n, o in zip(size, out, strict=True) for w in there(input.device, adaptive_ranges, n, o)]
        kernel.run(*(laid_out(kernel, a, xp) for a in (y, indices, x)), *windows)
        result, at = wrap(y, input.device), wrap(indices, input.device)
        ctx.size = size
        ctx.reach = [r for n, o in zip(size, out, strict=True) for r in there(input.device, adaptive_reach, n, o)]
        ctx.save(at)
        return (result, at) if return_indices else result

    def backward(self, ctx: Node, g: Tensor, *_: Any) -> Tensor:
        (indices,) = ctx.saved
        return fn.pool_scatter(g, indices, ctx.size, ctx.reach)

    def reference(self, x: Any, output_size: Any, return_indices: bool = False) -> Any:
        (h, w), (ho, wo) = x.shape[-2:], output_sizes("", output_size, x.shape[-2:])
        y, at = np.empty((*x.shape[:-2], ho, wo)), np.empty((*x.shape[:-2], ho, wo), np.int64)
        for index in np.ndindex(y.shape):
            i, j = index[-2:]
            top, left = i * h // ho, j * w // wo
            window = x[index[:-2]][top: -(-(i + 1) * h // ho), left: -(-(j + 1) * w // wo)]
            a, b = np.unravel_index(np.argmax(window), window.shape)
            y[index], at[index] = window[a, b], (top + a) * w + left + b
        return (y, at) if return_indices else y

    def cost(self, input: Any, output_size: Any, return_indices: bool = False) -> tuple[float, float]:
        outputs = math.prod([*input.shape[:-2], *output_sizes(self.name, output_size, input.shape[-2:])])
        return float(math.prod(input.shape)), float(input.nbytes + outputs * (input.dtype.itemsize + 8))  # indices are int64

    def cases(self) -> Iterable[Case]:
        def x(*shape: int) -> T:
            return T(*shape, distinct=True)

        yield from (Case(x(2, 3, 7, 5), 1), Case(x(1, 2, 7, 5), [3, 2], return_indices=True), Case(x(2, 5, 7), [None, 3]))
        yield from (Case(x(0, 3, 4, 4), 2), Case(x(1, 2, 3, 4), [5, 7]))
        yield Case(T(2, 3), 2, error=(RuntimeError, "adaptive_max_pool2d: input must have 3 or 4 dims"))
        yield Case(T(1, 1, 4, 4), [1, 2, 3], error=(RuntimeError, "adaptive_max_pool2d: output_size must be one int or 2"))
