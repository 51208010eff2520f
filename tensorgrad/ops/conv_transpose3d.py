"""conv_transpose3d: the transpose of conv3d, a sum of two-dimensional ones over the depth of the kernel."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.convolution import Ints, check_bias, check_operands, several


class ConvTranspose3d(Op):
    """Each input voxel adds weight * voxel to the outputs it would meet in conv3d: y[n, o, p stride + i dilation - padding, ...].

    input (N, C_in, D, H, W) or (C_in, D, H, W), weight (C_in, C_out / groups, kD, kH, kW), bias (C_out,); sizes and options as for
    conv_transpose2d.
    """

    name = "conv_transpose3d"
    autocast = ("lower", "lower")
    method = False
    functional = True
    composite = True
    group = "conv2d_input_grad"

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Ints = 0,
                output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Tensor:
        check_operands("conv_transpose3d", 3, input, weight, bias)
        x, w = input.array.shape, weight.array.shape
        batched = len(x) == 5
        if x[batched] != w[0]:
            raise RuntimeError(f"conv_transpose3d: input has {x[batched]} channels (dim {int(batched)} of {tuple(x)}) but weight expects "
                               f"{w[0]} (dim 0 of {tuple(w)})")
        check_bias("conv_transpose3d", bias, w, w[1] * groups)
        s, p = several("conv_transpose3d", "stride", stride, 3, 1), several("conv_transpose3d", "padding", padding, 3, 0)
        e, d = several("conv_transpose3d", "output_padding", output_padding, 3, 0), several("conv_transpose3d", "dilation", dilation, 3, 1)
        depth = x[-3]
        if e[0] >= max(s[0], d[0]):
            raise ValueError(f"conv_transpose3d: output_padding must be below stride or dilation, got {e[0]} with stride {s[0]} and "
                             f"dilation {d[0]}")
        full = (depth - 1) * s[0] + d[0] * (w[2] - 1) + 1 + e[0]  # before the padding is cut off
        if full - 2 * p[0] < 1 or not w[2]:
            raise RuntimeError(f"conv_transpose3d: the result would have a depth of {full - 2 * p[0]} for input {tuple(x)}, weight "
                               f"{tuple(w)} and padding {p[0]}")
        volume = input if batched else input.unsqueeze(0)
        n = volume.array.shape[0]
        slices = fn.permute(volume, (2, 0, 1, 3, 4)).reshape(depth * n, *volume.array.shape[1:2], *volume.array.shape[3:])  # (D N, C, H, W)
        y: Any = None
        for i in range(w[2]):
            part = fn.conv_transpose2d(slices, weight[:, :, i], None, s[1:], p[1:], e[1:], groups, d[1:])
            part = part.reshape(depth, 1, n * part.array.shape[1], *part.array.shape[2:])
            if s[0] > 1:  # zeros between the slices
                part = fn.pad(part, (0, 0, 0, 0, 0, 0, 0, s[0] - 1))
            part = part.reshape(depth * s[0], *part.array.shape[2:])
            before = i * d[0]
            part = fn.pad(part, (0, 0, 0, 0, 0, 0, before - p[0], full - p[0] - before - depth * s[0]))
            y = part if y is None else y + part
        y = fn.permute(y.reshape(y.array.shape[0], n, w[1] * groups, *y.array.shape[2:]), (1, 2, 0, 3, 4))
        y = y if bias is None else y + bias.reshape(-1, 1, 1, 1)
        return y if batched else y.squeeze(0)

    def reference(self, x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                  dilation: Any = 1) -> Any:
        images = x if x.ndim == 5 else x[None]
        s, p, e, d = (np.broadcast_to(v, 3) for v in (stride, padding, output_padding, dilation))
        sizes, k, per = np.array(images.shape[2:]), np.array(w.shape[2:]), w.shape[1]
        y = np.zeros((len(images), per * groups, *((sizes - 1) * s + d * (k - 1) + 1 + e)))
        for c in range(images.shape[1]):
            first = c // (images.shape[1] // groups) * per
            for offset in np.ndindex(*k):
                at = tuple(slice(o * dd, o * dd + (m - 1) * ss + 1, ss) for o, dd, m, ss in zip(offset, d, sizes, s, strict=True))
                y[(slice(None), slice(first, first + per), *at)] += np.einsum("o,ndhw->nodhw", w[(c, slice(None), *offset)], images[:, c])
        y = y[(slice(None), slice(None), *(slice(a, m - a) for a, m in zip(p, y.shape[2:], strict=True)))]
        y = y + (0 if bias is None else bias[:, None, None, None])
        return y if x.ndim == 5 else y[0]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 2, 3, 2, 3), T(2, 3, 2, 3, 2), T(3)), Case(T(1, 2, 2, 3, 3), T(2, 2, 3, 3, 3), T(2), stride=2, padding=1),
                    Case(T(1, 4, 2, 2, 2), T(4, 1, 2, 2, 2), stride=(3, 1, 2), output_padding=(2, 0, 1), groups=2),
                    Case(T(2, 2, 3, 2), T(2, 1, 2, 2, 1), dilation=(2, 1, 2), padding=(1, 0, 0)))
        yield Case(T(1, 2, 3, 3, 3), T(4, 3, 2, 2, 2),
                   error=(RuntimeError, "conv_transpose3d: input has 2 channels (dim 1 of (1, 2, 3, 3, 3)) but weight expects 4"))
        yield Case(T(1, 2, 3, 3, 3), T(2, 3, 2, 2, 2), output_padding=1,
                   error=(ValueError, "conv_transpose3d: output_padding must be below stride or dilation"))
