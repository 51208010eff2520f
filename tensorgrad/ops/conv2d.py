"""conv2d: two-dimensional convolution (cross-correlation, as everywhere in deep learning)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dispatch
from ..cases import Case, T
from ..device import CPU
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .matmul import MATMUL
from .shared.convolution import (
    Geometry,
    Ints,
    checked,
    conv_cases,
    geometry,
    im2col,
    kind_of,
    of_arrays,
    packed_size,
    padded,
    pieces,
    scratch_size,
    suits,
    supports,
    workspace,
)
from .shared.windows import empty_like


class Conv2d(Op):
    """y[n, o, p, q] = bias[o] + sum over c, i, j of weight[o, c, i, j] x[n, c, p stride + i dilation - padding, q stride + ...].

    input (N, C_in, H, W) or (C_in, H, W), weight (C_out, C_in / groups, kH, kW), bias (C_out,), all of one floating dtype.
    `stride`, `padding` and `dilation` are ints or pairs; padding may be 'valid' (none), 'same' (stride 1 only: the output is as
    large as the input) or ((above, below), (left, right)). The result is (N, C_out, H', W') with
    H' = (H + 2 padding - dilation (kH - 1) - 1) // stride + 1.
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """

    name = "conv2d"
    autocast = ("lower", "lower")
    method = False
    functional = True
    defaults = ("cpu/implicit", "cpu/im2col", "cuda/depthwise", "cuda/v04_tma_im2col", "cuda/v03_tensor_core",
                "cuda/v02_implicit", "cuda/v00_direct", "triton/depthwise",
                "triton/v03_tensor_core", "triton/v02_implicit")

    def forward(self, ctx: Node, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Any = 0,
                dilation: Ints = 1, groups: int = 1) -> Tensor:
        x, g = checked(self.name, input, weight, bias, stride, padding, dilation, groups)
        y, _ = self.convolve(input.device, x, weight.array, bias, g)
        batched = x is input.array
        if ctx.edges is not None:
            ctx.save(input if ctx.edges[1] else None, weight if ctx.edges[0] else None)
            ctx.geometry, ctx.batched = g, batched
        return wrap(y if batched else y[0], input.device)

    def convolve(self, device: Any, x: Any, w: Any, bias: Tensor | None, g: Geometry, *after: Any) -> tuple[Any, bool]:
        """The convolution by the kernel chosen for it, and whether that did what comes `after` it: conv2d_fused's last arguments."""
        xp = device.backend.xp
        kernel = self.chosen(device, x, *kind_of(g, g.cin, x))
        y = empty_like(kernel, x, g.output_shape, x.dtype, xp)
        scratch = workspace(xp, scratch_size(g, kernel, packed_size(g.groups, g.cout, w[0].size)), x.dtype)
        fused = dispatch.kernels_of(device.type).get("conv2d_fused", {}).get(kernel.path) if after else None
        b = None if bias is None else xp.ascontiguousarray(bias.array)
        (fused or kernel).run(y, x, w, b, scratch, *g.options, *(after if fused else ()))
        return y, fused is not None

    @staticmethod
    @rung("cpu/im2col")
    def _im2col(y: Any, x: Any, w: Any, bias: Any, scratch: Any, *options: int) -> None:
        g, matmul = of_arrays(x.shape, w.shape, y.shape, options), MATMUL.kernel(CPU, x)
        rows = w.reshape(g.groups, g.cout // g.groups, -1)
        flat = y.reshape(g.n, g.groups, g.cout // g.groups, g.oh * g.ow)
        for n in range(g.n):
            image = padded(x[n], g)
            for first, last in pieces(g, x.itemsize):
                matmul(flat[n, :, :, first * g.ow : last * g.ow], rows, im2col(image, g, first, last))
        if bias is not None:
            y += bias[:, None, None]

    def supports(self, kernel: Kernel, *kind: Any) -> str | None:
        return supports(kernel, *kind)

    def suits(self, kernel: Kernel, *kind: Any) -> bool:
        return suits(kernel, *kind)

    def backward(self, ctx: Node, gy: Tensor) -> tuple:
        x, w = ctx.saved
        g = ctx.geometry
        if not ctx.batched:
            gy = gy.unsqueeze(0)
        dx = dw = db = None
        if ctx.edges[0]:
            dx = fn.conv2d_input_grad(gy, w, g)
            dx = dx if ctx.batched else dx.squeeze(0)
        if ctx.edges[1]:
            dw = fn.conv2d_weight_grad(gy, x if ctx.batched else x.unsqueeze(0), g)
        if ctx.edges[2]:
            db = gy.sum((0, 2, 3))
        return dx, dw, db

    def reference(self, x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        images = x if x.ndim == 4 else x[None]
        (sh, sw), (dh, dw) = np.broadcast_to(stride, 2), np.broadcast_to(dilation, 2)
        kh, kw = w.shape[2:]
        total = np.array([dh * (kh - 1), dw * (kw - 1)])
        before = total // 2 if padding == "same" else np.broadcast_to(0 if padding == "valid" else padding, 2)
        after = total - before if padding == "same" else before
        big = np.pad(images, ((0, 0), (0, 0), (before[0], after[0]), (before[1], after[1])))
        oh, ow = (big.shape[2] - total[0] - 1) // sh + 1, (big.shape[3] - total[1] - 1) // sw + 1
        y = np.zeros((len(images), groups, w.shape[0] // groups, oh, ow))
        for i in range(kh):
            for j in range(kw):
                seen = big[:, :, i * dh :, j * dw :][:, :, : (oh - 1) * sh + 1 : sh, : (ow - 1) * sw + 1 : sw]
                seen = seen.reshape(len(seen), groups, w.shape[1], oh, ow)
                y += np.einsum("gok,ngkpq->ngopq", w[:, :, i, j].reshape(groups, -1, w.shape[1]), seen)
        y = y.reshape(len(images), len(w), oh, ow) + (0 if bias is None else bias[:, None, None])
        return y if x.ndim == 4 else y[0]

    def cases(self) -> Iterable[Case]:
        yield from conv_cases()
        x = T(2, 3, 5, 4)
        w = T(4, 3, 3, 3)
        yield Case(x, T(4, 4, 3, 3), error=(RuntimeError, "conv2d: input has 3 channels (dim 1 of (2, 3, 5, 4)) but weight expects 4 "
                                                          "(dim 1 of (4, 4, 3, 3))"))
        yield Case(x, w, groups=3, error=(RuntimeError, "conv2d: weight has 4 output channels (dim 0 of (4, 3, 3, 3)), which 3 groups"))
        yield Case(x, T(4, 3, 7, 3), error=(RuntimeError, "conv2d: the kernel spans 7 rows (dim 2 of weight (4, 3, 7, 3), dilation 1)"))
        yield Case(x, w, stride=-1, error=(ValueError, "conv2d: stride must be at least 1, got -1"))
        yield Case(x, w, padding="same", stride=2, error=(ValueError, "conv2d: padding='same' needs stride 1"))
        yield Case(T(5, 4), w, error=(RuntimeError, "conv2d: input must be (N, C, H, W) or (C, H, W), but its shape is (5, 4)"))
        yield Case(x, T(4, 3, 3), error=(RuntimeError, "conv2d: weight must have 4 dimensions, but its shape is (4, 3, 3)"))
        yield Case(x, w, T(3), error=(RuntimeError, "conv2d: bias has shape (3,) but weight (4, 3, 3, 3) expects (4,)"))
        yield Case(T(2, 3, 5, 4, dtype="int64"), w, error=(RuntimeError, "conv2d: input is int64 but weight is float32"))

    def cost(self, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
             groups: int = 1) -> tuple[float, float]:
        shape = input.shape if input.ndim == 4 else (1, *input.shape)
        return geometry(self.name, shape, weight.shape, stride, padding, dilation, groups).cost(input.dtype.itemsize)


CONV2D: Any = fn.conv2d.op
