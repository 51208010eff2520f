"""conv2d_input_grad: the gradient of conv2d with respect to its input, which is also the transposed convolution."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..device import CPU
from ..dispatch import Kernel
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .matmul import MATMUL
from .shared.convolution import Geometry, kind_of, of_arrays, packed_size, pieces, scratch_size, suits, supports, windows, workspace
from .shared.windows import empty_like


class Conv2dInputGrad(Op):
    """dx[n, c, h, w] = sum of weight[o, c, i, j] grad[n, o, p, q] over all o, i, j, p, q that meet x[n, c, h, w] in the forward pass."""

    name = "conv2d_input_grad"
    function = method = False
    group = "conv2d"
    defaults = ("cpu/implicit", "cpu/im2col", "cuda/depthwise", "cuda/v04_tma_im2col", "cuda/v03_tensor_core",
                "cuda/v02_implicit", "cuda/gather", "cuda/v00_direct", "triton/depthwise",
                "triton/v03_tensor_core", "triton/v02_implicit")
    tested_in = "tests/test_conv.py"

    def forward(self, ctx: Node, grad: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        g, xp = geometry, grad.device.backend.xp
        kernel = self.chosen(grad.device, grad.array, *kind_of(g, g.cout, grad.array))
        dx = empty_like(kernel, grad.array, g.input_shape, grad.array.dtype, xp)
        scratch = workspace(xp, scratch_size(g, kernel, packed_size(g.groups, g.cin, g.cout // g.groups * g.kh * g.kw)), dx.dtype)
        kernel.run(dx, grad.array, weight.array, scratch, *g.options)
        if ctx.edges is not None:
            ctx.save(grad if ctx.edges[1] else None, weight if ctx.edges[0] else None)
            ctx.geometry = g
        return wrap(dx, grad.device)

    @staticmethod
    @rung("cpu/im2col")
    def _im2col(dx: Any, gy: Any, w: Any, scratch: Any, *options: int) -> None:
        g, matmul = of_arrays(dx.shape, w.shape, gy.shape, options), MATMUL.kernel(CPU, dx)
        columns = w.reshape(g.groups, g.cout // g.groups, -1).swapaxes(1, 2)
        flat = gy.reshape(g.n, g.groups, g.cout // g.groups, g.oh * g.ow)
        for n in range(g.n):
            image = np.zeros((g.cin, g.h + g.top + max(g.bottom, 0), g.w + g.left + max(g.right, 0)), dx.dtype)
            for first, last in pieces(g, dx.itemsize):
                parts = np.empty((g.groups, columns.shape[1], (last - first) * g.ow), dx.dtype)
                matmul(parts, columns, flat[n, :, :, first * g.ow : last * g.ow])
                parts = parts.reshape(g.cin, g.kh, g.kw, last - first, g.ow)
                for i, j, view in windows(image, g, first, last):
                    view += parts[:, i, j]
            dx[n] = image[:, g.top : g.top + g.h, g.left : g.left + g.w]

    def supports(self, kernel: Kernel, *kind: Any) -> str | None:
        return supports(kernel, *kind)

    def suits(self, kernel: Kernel, *kind: Any) -> bool:
        return suits(kernel, *kind)

    def backward(self, ctx: Node, gdx: Tensor) -> tuple:
        gy, w = ctx.saved
        g = ctx.geometry
        dgy = None
        if ctx.edges[0]:
            dgy = fn.conv2d(gdx, w, None, (g.sh, g.sw), ((g.top, g.bottom), (g.left, g.right)), (g.dh, g.dw), g.groups)
        dw = fn.conv2d_weight_grad(gy, gdx, g) if ctx.edges[1] else None
        return dgy, dw

    def cost(self, grad: Any, weight: Any, geometry: Geometry) -> tuple[float, float]:
        return geometry.cost(grad.dtype.itemsize)
