"""conv2d_weight_grad: the gradient of conv2d with respect to its weight."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..device import CPU
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .matmul import MATMUL
from .shared.convolution import Geometry, im2col, kind_of, of_arrays, padded, pieces, scratch_size, suits, supports, workspace

SPLITS = 16  # partial sums over parts of the batch, at most: the same for any number of threads


class Conv2dWeightGrad(Op):
    """dw[o, c, i, j] = sum over n, p, q of grad[n, o, p, q] x[n, c, p stride + i dilation - padding, q stride + ...]."""

    name = "conv2d_weight_grad"
    function = method = False
    group = "conv2d"
    defaults = ("cpu/implicit", "cpu/im2col", "cuda/depthwise", "cuda/v04_tma_im2col", "cuda/v03_tensor_core",
                "cuda/v02_implicit", "cuda/v00_direct", "triton/depthwise",
                "triton/v03_tensor_core", "triton/v02_implicit")
    tested_in = "tests/test_conv.py"

    def forward(self, ctx: Node, grad: Tensor, input: Tensor, geometry: Geometry) -> Tensor:
        g, xp = geometry, grad.device.backend.xp
        dw = xp.empty(g.weight_shape, grad.array.dtype)
        kernel = self.chosen(grad.device, grad.array, *kind_of(g, min(g.cin, g.cout), grad.array, input.array))
        size = scratch_size(g, kernel, min(SPLITS * dw.size, max(1 << 20, dw.size)), each=dw.size // g.groups)
        kernel.run(dw, grad.array, input.array, workspace(xp, size, dw.dtype), *g.options)
        if ctx.edges is not None:
            ctx.save(grad if ctx.edges[1] else None, input if ctx.edges[0] else None)
            ctx.geometry = g
        return wrap(dw, grad.device)

    @staticmethod
    @rung("cpu/im2col")
    def _im2col(dw: Any, gy: Any, x: Any, scratch: Any, *options: int) -> None:
        g, matmul = of_arrays(x.shape, dw.shape, gy.shape, options), MATMUL.kernel(CPU, dw)
        total = np.zeros((g.groups, g.cout // g.groups, g.cin // g.groups * g.kh * g.kw), dw.dtype)
        part = np.empty_like(total)
        flat = gy.reshape(g.n, g.groups, g.cout // g.groups, g.oh * g.ow)
        for n in range(g.n):
            image = padded(x[n], g)
            for first, last in pieces(g, x.itemsize):
                matmul(part, flat[n, :, :, first * g.ow : last * g.ow], im2col(image, g, first, last).swapaxes(1, 2))
                total += part
        dw[...] = total.reshape(dw.shape)

    def supports(self, kernel: Kernel, *kind: Any) -> str | None:
        return supports(kernel, *kind)

    def suits(self, kernel: Kernel, *kind: Any) -> bool:
        return suits(kernel, *kind)

    def backward(self, ctx: Node, gdw: Tensor) -> tuple:
        gy, x = ctx.saved
        g = ctx.geometry
        dgy = None
        if ctx.edges[0]:
            dgy = fn.conv2d(x, gdw, None, (g.sh, g.sw), ((g.top, g.bottom), (g.left, g.right)), (g.dh, g.dw), g.groups)
        return dgy, (fn.conv2d_input_grad(gy, gdw, g) if ctx.edges[1] else None)

    def cost(self, grad: Any, input: Any, geometry: Geometry) -> tuple[float, float]:
        return geometry.cost(grad.dtype.itemsize)
