"""max_pool2d: the largest value of each window."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.windows import channels_last, check_image, empty_like, laid_out, pooled_size, reach, supports, there, tuple_of


class MaxPool2d(Op):
    """y[n, c, i, j] = max over (a, b) of x[n, c, i sh - ph + a dh, j sw - pw + b dw].

    `input` is (N, C, H, W) or (C, H, W); the padding never wins. Sizes as in `windows.pooled_size`. With `return_indices` the
    result is (y, indices), the int64 position of each maximum within its H x W plane: the first among equals. NaN wins.
    The gradient goes to that element; where windows overlap, gradients add up.
    """

    name = "max_pool2d"
    torch_name = "nn.functional.max_pool2d"
    functional = True
    method = False
    defaults = ("cpu/rows", "cpu/numpy", "cuda/v01_channels_last", "cuda/v00_direct",
                "triton/v01_channels_last", "triton/v00_direct")

    def forward(self, ctx: Node, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                ceil_mode: bool = False, return_indices: bool = False) -> Any:
        check_image("max_pool2d", input, 2)
        kernel = tuple_of("max_pool2d", "kernel_size", kernel_size, 2, 1)
        stride = kernel if stride is None or stride == [] else tuple_of("max_pool2d", "stride", stride, 2, 1)
        padding, dilation = tuple_of("max_pool2d", "padding", padding, 2, 0), tuple_of("max_pool2d", "dilation", dilation, 2, 1)
        x = input.array
        lead, size = x.shape[:-2], x.shape[-2:]
        out = tuple(pooled_size("max_pool2d", x.ndim - 2 + i, size[i], kernel[i], stride[i], padding[i], dilation[i], bool(ceil_mode))
                    for i in (0, 1))
        xp = input.device.backend.xp
        chosen = self.chosen(input.device, x, channels_last(x))
        y, indices = empty_like(chosen, x, (*lead, *out), x.dtype, xp), None
        if return_indices or ctx.edges is not None:  # 32 bits are enough for what nobody sees
            indices = empty_like(chosen, x, y.shape, np.int64 if return_indices else np.int32, xp)
        arrays = [None if a is None else laid_out(chosen, a, xp) for a in (y, indices, x)]
        chosen.run(*arrays, *kernel, *stride, *padding, *dilation)
        result = wrap(y, input.device)
        if indices is None:
            return result
        at = wrap(indices, input.device)
        ctx.size = size
        ctx.reach = [line for args in zip(size, out, kernel, stride, padding, dilation, strict=True)
                     for line in there(input.device, reach, *args)]
        ctx.save(at)
        return (result, at) if return_indices else result

    @staticmethod
    @rung("cpu/numpy", writes=(0, 1))
    def sliding(y: Any, indices: Any, x: Any, kh: int, kw: int, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int) -> None:
        """A view of all windows of the padded input, one argmax over them; the indices count from the unpadded corner."""
        (_, h, w), (_, ho, wo) = x.shape, y.shape
        below = max(0, (ho - 1) * sh + (kh - 1) * dh + 1 - ph - h)
        right = max(0, (wo - 1) * sw + (kw - 1) * dw + 1 - pw - w)
        padded = np.pad(x, ((0, 0), (ph, below), (pw, right)), constant_values=-np.inf)
        real = np.pad(np.ones(x.shape[1:], bool), ((ph, below), (pw, right)))
        reach = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (1, 2))[:, ::sh, ::sw, ::dh, ::dw][:, :ho, :wo]
        inside = np.lib.stride_tricks.sliding_window_view(real, reach)[::sh, ::sw, ::dh, ::dw][:ho, :wo]
        flat = windows.reshape(*y.shape, kh * kw)
        score = np.where(np.isnan(flat), np.inf, flat)
        best = np.argmax(np.where(inside.reshape(ho, wo, kh * kw), score, -np.inf), -1)
        unseen = ~np.take_along_axis(np.broadcast_to(inside.reshape(ho, wo, -1), flat.shape), best[..., None], -1)[..., 0]
        best = np.where(unseen, np.argmax(inside.reshape(ho, wo, -1), -1), best)  # windows of -inf alone: the first real element
        nan = np.isnan(flat)
        best = np.where(nan.any(-1), kh * kw - 1 - np.argmax(nan[..., ::-1], -1), best)
        y[...] = np.take_along_axis(flat, best[..., None], -1)[..., 0]
        if indices is not None:
            row = np.arange(ho)[:, None] * sh - ph + best // kw * dh
            indices[...] = row * w + np.arange(wo) * sw - pw + best % kw * dw

    def backward(self, ctx: Node, g: Tensor, *_: Any) -> Tensor:
        (indices,) = ctx.saved
        return fn.pool_scatter(g, indices, ctx.size, ctx.reach)

    def supports(self, kernel: Kernel, last: bool = True) -> str | None:
        return supports(kernel, last)

    def reference(self, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
                  return_indices: bool = False) -> Any:
        (kh, kw), (ph, pw), (dh, dw) = (tuple_of("", "", v, 2, 0) for v in (kernel_size, padding, dilation))
        sh, sw = (kh, kw) if stride is None else tuple_of("", "", stride, 2, 1)
        (h, w), lead = x.shape[-2:], x.shape[:-2]
        ho, wo = pooled_size("", 0, h, kh, sh, ph, dh, ceil_mode), pooled_size("", 0, w, kw, sw, pw, dw, ceil_mode)
        y, at = np.empty((*lead, ho, wo)), np.empty((*lead, ho, wo), np.int64)
        for index in np.ndindex(y.shape):
            i, j = index[-2:]
            rows = [r for r in range(i * sh - ph, i * sh - ph + kh * dh, dh) if 0 <= r < h]
            cols = [c for c in range(j * sw - pw, j * sw - pw + kw * dw, dw) if 0 <= c < w]
            window = x[index[:-2]][np.ix_(rows, cols)]
            a, b = np.unravel_index(np.argmax(window), window.shape)
            y[index], at[index] = window[a, b], rows[a] * w + cols[b]
        return (y, at) if return_indices else y

    def cases(self) -> Iterable[Case]:
        def x(*shape: int) -> T:
            return T(*shape, distinct=True)

        yield from (Case(x(2, 3, 4, 6), 2), Case(x(1, 2, 7, 7), 3, 2, 1), Case(x(2, 5, 5), 2, 1), Case(x(0, 3, 4, 4), 2))
        yield from (Case(x(1, 2, 8, 37), 3, 2, ceil_mode=True, return_indices=True), Case(x(1, 1, 3, 5), [3, 2], [1, 2], [1, 0]))
        yield from (Case(x(1, 2, 9, 11), 3, [2, 3], 1, 2, ceil_mode=True), Case(x(1, 1, 1, 1), 1, return_indices=True))
        yield from (Case(x(1, 1, 5, 19), [1, 2], [1, 5]), Case(x(2, 4, 5), 2, 2, 1, ceil_mode=True, return_indices=True))
        yield Case(T(2, 3), 2, error=(RuntimeError, "max_pool2d: input must have 3 or 4 dims"))
        yield Case(T(1, 1, 4, 4), 5, error=(RuntimeError, "max_pool2d: a window of 5 (kernel 5, dilation 1) does not fit dim 2 of size 4"))
        yield Case(T(1, 1, 4, 4), 2, 2, 2, error=(RuntimeError, "padding 2 is more than half of the kernel size 2"))
        yield Case(T(1, 0, 4, 4), 2, error=(RuntimeError, "dim 1 of input is 0"))
        yield Case(T(1, 1, 1, 4), 2, 1, 1, 2, error=(RuntimeError, "lies in the padding alone"), torch=False)
        yield Case(T(1, 1, 4, 4), 2, 0, error=(RuntimeError, "stride must be at least 1"))
        yield Case(T(1, 1, 4, 4), 1.5, error=(TypeError, "kernel_size must be an int or 2 ints"))

    def cost(self, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
             return_indices: bool = False) -> tuple[float, float]:
        (kh, kw), n = tuple_of("", "", kernel_size, 2, 1), float(np.prod(input.shape))
        sh, sw = (kh, kw) if stride is None else tuple_of("", "", stride, 2, 1)
        outputs = n / (sh * sw)
        indices = 8 if return_indices else 4 if input.requires_grad else 0  # bytes of one
        return outputs * (kh * kw - 1), (n + outputs) * input.dtype.itemsize + outputs * indices
