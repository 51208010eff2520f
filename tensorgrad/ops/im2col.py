"""im2col and col2im, nn.functional's unfold and fold: windows as columns, and columns added back."""
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.windows import check_image, tuple_of


def geometry(op: str, size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple[tuple[int, ...], ...]:
    """(kernel, windows per dim, stride, padding, dilation), each for height and width."""
    kernel, stride = tuple_of(op, "kernel_size", kernel_size, 2, 1), tuple_of(op, "stride", stride, 2, 1)
    padding, dilation = tuple_of(op, "padding", padding, 2, 0), tuple_of(op, "dilation", dilation, 2, 1)
    count = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True))
    if any(c < 1 for c in count):
        raise RuntimeError(f"{op}: a kernel of {kernel} with dilation {dilation} does not fit an image of {tuple(size)} "
                           f"with padding {padding}")
    return kernel, count, stride, padding, dilation


def offsets(size: Any, kh: int, kw: int, ho: int, wo: int, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int) -> Iterator[tuple]:
    """For each element (a, b) of a window: where in an image it lies for the windows that do not have it in the padding, and which
    windows those are: (a, b, two slices of the image, two slices of the windows)."""
    for a, b in np.ndindex(kh, kw):
        inside, window = [], []
        for n, count, stride, first in ((size[0], ho, sh, a * dh - ph), (size[1], wo, sw, b * dw - pw)):
            low = max(0, -(first // stride))
            high = max(low, min(count, (n - 1 - first) // stride + 1))
            window.append(slice(low, high))
            inside.append(slice(first + low * stride, first + (high - 1) * stride + 1, stride) if high > low else slice(0, 0))
        yield a, b, tuple(inside), tuple(window)


class Im2col(Op):
    """(N, C, H, W) to (N, C kh kw, L): column l holds the window number l, row (c kh + a) kw + b its element (a, b) of channel c.

    L counts the windows row by row; padding is 0. An input (C, H, W) gives (C kh kw, L). Offered as nn.functional.unfold.
    """

    name = "im2col"
    aliases = ("unfold",)
    function = method = False
    functional = True
    torch_name = "nn.functional.unfold"
    defaults = ("cpu/lines",)

    @staticmethod
    @rung("cpu/numpy", "float16 bfloat16 float32 float64")
    def by_offset(xp: Any, y: Any, x: Any, kh: int, kw: int, *rest: int) -> None:
        """An element of all windows at once."""
        columns = y.reshape(len(y), kh, kw, *rest[:2])
        for a, b, inside, window in offsets(x.shape[1:], kh, kw, *rest):
            columns[:, a, b] = 0
            columns[(slice(None), a, b, *window)] = x[(slice(None), *inside)]

    def forward(self, ctx: Node, input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
        check_image("unfold", input, 2)
        x, xp = input.array, input.device.backend.xp
        c, *size = x.shape[-3:]
        kernel, count, *rest = geometry("unfold", size, kernel_size, dilation, padding, stride)
        taps, length, planes = math.prod(kernel), math.prod(count), math.prod(x.shape[:-2])
        y = xp.empty((*x.shape[:-3], c * taps, length), x.dtype)
        self.kernel(input.device, x)(y.reshape(planes, taps, length), xp.ascontiguousarray(x).reshape(planes, *size), *kernel, *count,
                                     *rest[0], *rest[1], *rest[2])
        ctx.size, ctx.arguments = size, (kernel_size, dilation, padding, stride)
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.col2im(g, ctx.size, *ctx.arguments)

    def reference(self, x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
        (kh, kw), (ho, wo), (sh, sw), (ph, pw), (dh, dw) = geometry("", x.shape[-2:], kernel_size, dilation, padding, stride)
        padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(ph, ph), (pw, pw)])
        corners = [(i * sh, j * sw) for i in range(ho) for j in range(wo)]
        windows = [padded[..., r: r + (kh - 1) * dh + 1: dh, c: c + (kw - 1) * dw + 1: dw] for r, c in corners]
        return np.stack([w.reshape(*x.shape[:-3], -1) for w in windows], -1)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 4, 5), 2), Case(T(1, 2, 7, 6), [3, 2], 2, 1, [1, 2]), Case(T(3, 5, 5), 3, 1, 2, 3))
        yield from (Case(T(1, 1, 3, 3), [1, 3]), Case(T(1, 1, 2, 2), 2, 3, 2, 1), Case(T(1, 1, 4, 19), [1, 5], 1, [0, 2], 2))
        yield Case(T(1, 1, 3, 3), 5, error=(RuntimeError, "a kernel of (5, 5) with dilation (1, 1) does not fit an image of (3, 3)"))
        yield Case(T(3, 3), 2, error=(RuntimeError, "unfold: input must have 3 or 4 dims"))


class Col2im(Op):
    """The adjoint of im2col: (N, C kh kw, L) to (N, C, *output_size), elements of windows that overlap added up.

    An input (C kh kw, L) gives (C, *output_size). Offered as nn.functional.fold.
    """

    name = "col2im"
    aliases = ("fold",)
    function = method = False
    functional = True
    torch_name = "nn.functional.fold"
    defaults = ("cpu/lines",)

    @staticmethod
    @rung("cpu/numpy")
    def by_offset(xp: Any, y: Any, x: Any, kh: int, kw: int, *rest: int) -> None:
        """An element of all windows at once."""
        columns = x.reshape(len(x), kh, kw, *rest[:2])
        y[...] = 0
        for a, b, inside, window in offsets(y.shape[1:], kh, kw, *rest):
            y[(slice(None), *inside)] += columns[(slice(None), a, b, *window)]

    def forward(self, ctx: Node, input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
                stride: Any = 1) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        size = tuple_of("fold", "output_size", output_size, 2, 1)
        kernel, count, *rest = geometry("fold", size, kernel_size, dilation, padding, stride)
        taps, length = math.prod(kernel), math.prod(count)
        if x.ndim not in (2, 3) or x.shape[-2] % taps or x.shape[-1] != length or x.shape[-2] == 0:
            raise RuntimeError(f"fold: input must be (N, C x {taps}, {length}) for output_size {size} and kernel {kernel}, "
                               f"got {tuple(x.shape)}")
        c = x.shape[-2] // taps
        y = xp.empty((*x.shape[:-2], c, *size), x.dtype)
        planes = math.prod(x.shape[:-2]) * c
        self.kernel(input.device, x)(y.reshape(planes, *size), xp.ascontiguousarray(x).reshape(planes, taps, length), *kernel, *count,
                                     *rest[0], *rest[1], *rest[2])
        ctx.arguments = kernel_size, dilation, padding, stride
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.im2col(g, *ctx.arguments)

    def reference(self, x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
        size = tuple_of("", "", output_size, 2, 1)
        (kh, kw), (ho, wo), (sh, sw), (ph, pw), (dh, dw) = geometry("", size, kernel_size, dilation, padding, stride)
        columns = x.reshape(*x.shape[:-2], -1, kh, kw, ho, wo)
        y = np.zeros((*columns.shape[:-4], size[0] + 2 * ph, size[1] + 2 * pw))
        for a, b, i, j in np.ndindex(kh, kw, ho, wo):
            y[..., i * sh + a * dh, j * sw + b * dw] += columns[..., a, b, i, j]
        return y[..., ph: ph + size[0], pw: pw + size[1]]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 12, 12), [4, 5], 2), Case(T(1, 12, 15), [7, 6], [3, 2], 2, 1, [1, 2]), Case(T(9, 9), 5, 3, 1, 2, 3))
        yield Case(T(1, 5, 9), [4, 4], 2, error=(RuntimeError, "fold: input must be (N, C x 4, 9) for output_size (4, 4)"))
