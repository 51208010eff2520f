"""conv3d: three-dimensional convolution, a sum of two-dimensional ones over the depth of the kernel."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.convolution import Ints, check_bias, check_channels, check_operands, padding_of, several


class Conv3d(Op):
    """y[n, o, p, q, r] = bias[o] + sum over c, i, j, k of weight[o, c, i, j, k] x[n, c, p stride + i dilation - padding, ...].

    input (N, C_in, D, H, W) or (C_in, D, H, W), weight (C_out, C_in / groups, kD, kH, kW), bias (C_out,); options as for conv2d.
    """

    name = "conv3d"
    autocast = ("lower", "lower")
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Any = 0, dilation: Ints = 1,
                groups: int = 1) -> Tensor:
        check_operands("conv3d", 3, input, weight, bias)
        x, w = input.array.shape, weight.array.shape
        check_channels("conv3d", x, w, groups)
        check_bias("conv3d", bias, w, w[0])
        s, d = several("conv3d", "stride", stride, 3, 1), several("conv3d", "dilation", dilation, 3, 1)
        border = padding_of("conv3d", padding, w[2:], s, d)
        for i in range(3):
            span, size = (d[i] * (w[i + 2] - 1) + 1 if w[i + 2] else 0), x[i - 3] + sum(border[i])
            if not 0 < span <= size:
                raise RuntimeError(f"conv3d: the kernel spans {span} (dim {i + 2} of weight {tuple(w)}, dilation {d[i]}) but the "
                                   f"padded input "
                                   f"has {size} (dim {len(x) - 3 + i} of {tuple(x)}, padding {sum(border[i])} in all)")
        batched = len(x) == 5
        volume = input if batched else input.unsqueeze(0)
        slices = fn.permute(fn.pad(volume, (0, 0, 0, 0, *border[0])) if any(border[0]) else volume, (2, 0, 1, 3, 4))  # (D, N, C, H, W)
        depth = (slices.array.shape[0] - d[0] * (w[2] - 1) - 1) // s[0] + 1
        y: Any = None
        for i in range(w[2]):
            seen = slices[i * d[0] : i * d[0] + (depth - 1) * s[0] + 1 : s[0]].reshape(-1 if volume.numel() else 0, *slices.array.shape[2:])
            part = fn.conv2d(seen, weight[:, :, i], bias if i == 0 else None, s[1:], border[1:], d[1:], groups)
            y = part if y is None else y + part
        y = fn.permute(y.reshape(depth, volume.array.shape[0], *y.array.shape[1:]), (1, 2, 0, 3, 4))
        return y if batched else y.squeeze(0)

    def reference(self, x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        images = x if x.ndim == 5 else x[None]
        s, d, k = np.broadcast_to(stride, 3), np.broadcast_to(dilation, 3), np.array(w.shape[2:])
        total = d * (k - 1)
        before = total // 2 if padding == "same" else np.broadcast_to(0 if padding == "valid" else padding, 3)
        after = total - before if padding == "same" else before
        big = np.pad(images, [(0, 0), (0, 0), *zip(before, after, strict=True)])
        out = (np.array(big.shape[2:]) - total - 1) // s + 1
        y = np.zeros((len(images), w.shape[0], *out))
        per = w.shape[0] // groups
        for offset in np.ndindex(*k):
            at = tuple(slice(o * dd, o * dd + (n - 1) * st + 1, st) for o, dd, n, st in zip(offset, d, out, s, strict=True))
            for g in range(groups):
                seen = big[(slice(None), slice(g * w.shape[1], (g + 1) * w.shape[1]), *at)]
                mine = slice(g * per, (g + 1) * per)
                y[:, mine] += np.einsum("oc,ncpqr->nopqr", w[(mine, slice(None), *offset)], seen)
        y = y + (0 if bias is None else bias[:, None, None, None])
        return y if x.ndim == 5 else y[0]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 2, 3, 4, 3), T(3, 2, 2, 3, 2), T(3)),
                    Case(T(1, 2, 4, 3, 3), T(4, 1, 3, 3, 3), T(4), stride=2, padding=1, groups=2),
                    Case(T(2, 3, 3, 3), T(2, 2, 2, 2, 2), padding="same"), Case(T(1, 1, 5, 3, 4), T(1, 1, 2, 1, 2), dilation=(2, 1, 2)))
        yield Case(T(1, 2, 3, 3, 3), T(4, 3, 2, 2, 2),
                   error=(RuntimeError, "conv3d: input has 2 channels (dim 1 of (1, 2, 3, 3, 3)) but weight expects 3"))
        yield Case(T(1, 2, 3, 3, 3), T(4, 2, 4, 2, 2),
                   error=(RuntimeError, "conv3d: the kernel spans 4 (dim 2 of weight (4, 2, 4, 2, 2), dilation 1)"))
