"""conv_transpose2d: the transpose of conv2d's linear map, which is the gradient of its input."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.convolution import Geometry, Ints, check_bias, check_operands, several


class ConvTranspose2d(Op):
    """Each input pixel adds weight * pixel to the outputs it would meet in conv2d: y[n, o, p stride + i dilation - padding, ...].

    input (N, C_in, H, W) or (C_in, H, W), weight (C_in, C_out / groups, kH, kW), bias (C_out,). The result has height
    (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1; `output_padding` is below stride or dilation.
    Zeiler et al., "Deconvolutional networks", CVPR 2010.
    """

    name = "conv_transpose2d"
    autocast = ("lower", "lower")
    method = False
    functional = True
    composite = True
    group = "conv2d_input_grad"

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Ints = 1, padding: Ints = 0,
                output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Tensor:
        return transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)

    def reference(self, x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                  dilation: Any = 1) -> Any:
        images = x if x.ndim == 4 else x[None]
        (sh, sw), (ph, pw), (eh, ew), (dh, dw) = (np.broadcast_to(v, 2) for v in (stride, padding, output_padding, dilation))
        n, cin, h, width = images.shape
        per, kh, kw = w.shape[1:]
        y = np.zeros((n, per * groups, (h - 1) * sh + dh * (kh - 1) + 1 + eh, (width - 1) * sw + dw * (kw - 1) + 1 + ew))
        for c in range(cin):
            first = c // (cin // groups) * per
            for i in range(kh):
                for j in range(kw):
                    rows = slice(i * dh, i * dh + (h - 1) * sh + 1, sh)
                    columns = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
                    y[:, first : first + per, rows, columns] += np.einsum("o,nhw->nohw", w[c, :, i, j], images[:, c])
        y = y[:, :, ph : y.shape[2] - ph, pw : y.shape[3] - pw] + (0 if bias is None else bias[:, None, None])
        return y if x.ndim == 4 else y[0]

    def cases(self) -> Iterable[Case]:
        yield from (
            Case(T(2, 3, 4, 3), T(3, 4, 3, 3), T(4)), Case(T(2, 3, 3, 4), T(3, 2, 4, 4), T(2), stride=2, padding=1),
            Case(T(1, 2, 3, 3), T(2, 3, 3, 2), stride=(2, 3), output_padding=(1, 2)),
            Case(T(1, 4, 3, 2), T(4, 2, 3, 3), T(4), groups=2, padding=1),
            Case(T(1, 3, 3, 3), T(3, 1, 2, 2), groups=3, stride=2), Case(T(1, 2, 3, 3), T(2, 3, 2, 3), dilation=2, output_padding=1),
            Case(T(3, 4, 3), T(3, 2, 1, 1), T(2)), Case(T(0, 3, 4, 4), T(3, 2, 3, 3)), Case(T(2, 5, 1, 1), T(5, 3, 4, 4)),
        )
        x = T(2, 3, 4, 4)
        yield Case(x, T(4, 3, 3, 3),
                   error=(RuntimeError, "conv_transpose2d: input has 3 channels (dim 1 of (2, 3, 4, 4)) but weight expects 4 "
                                                          "(dim 0 of (4, 3, 3, 3))"))
        yield Case(x, T(3, 2, 3, 3), T(3),
                   error=(RuntimeError, "conv_transpose2d: bias has shape (3,) but weight (3, 2, 3, 3) expects (2,)"))
        yield Case(x, T(3, 2, 3, 3), output_padding=1,
                   error=(ValueError, "conv_transpose2d: output_padding must be below stride or dilation"))
        yield Case(x, T(3, 2, 3, 3), groups=2, error=(RuntimeError, "conv_transpose2d: weight has 3 input channels"))
        yield Case(x, T(3, 2, 2, 2), padding=4, error=(RuntimeError, "conv_transpose2d: the result would have -3 rows"))


def transposed(op: str, spatial: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Ints, output_padding: Ints,
               groups: int, dilation: Ints) -> Tensor:
    """The checked transposed convolution over one or two dimensions."""
    check_operands(op, spatial, input, weight, bias)
    x, w = input.array.shape, weight.array.shape
    batched = len(x) == spatial + 2
    if not hasattr(groups, "__index__") or isinstance(groups, bool) or groups < 1:
        raise ValueError(f"{op}: groups must be an int of at least 1, got {groups!r}")
    if w[0] % groups:
        raise RuntimeError(f"{op}: weight has {w[0]} input channels (dim 0 of {tuple(w)}), which {groups} groups do not divide evenly")
    if x[batched] != w[0]:
        raise RuntimeError(f"{op}: input has {x[batched]} channels (dim {int(batched)} of {tuple(x)}) but weight expects {w[0]} "
                           f"(dim 0 of {tuple(w)})")
    check_bias(op, bias, w, w[1] * groups)
    s, p = several(op, "stride", stride, spatial, 1), several(op, "padding", padding, spatial, 0)
    e, d = several(op, "output_padding", output_padding, spatial, 0), several(op, "dilation", dilation, spatial, 1)
    sizes = []
    for i in range(spatial):
        if e[i] >= max(s[i], d[i]):
            raise ValueError(f"{op}: output_padding must be below stride or dilation, got {e[i]} with stride {s[i]} and dilation {d[i]}")
        sizes.append((x[i - spatial] - 1) * s[i] - 2 * p[i] + d[i] * (w[i + 2] - 1) + 1 + e[i])
        if sizes[i] < 1 or w[i + 2] < 1:
            what = ("rows", "columns")[i + 2 - spatial]
            raise RuntimeError(f"{op}: the result would have {sizes[i]} {what} for input {tuple(x)}, weight {tuple(w)} and padding {p[i]}")
    if spatial == 1:
        input, weight, sizes = input.unsqueeze(-2), weight.unsqueeze(-2), [1, *sizes]
        s, p, d, x, w = (1, *s), (0, *p), (1, *d), input.array.shape, weight.array.shape
    if not batched:
        input = input.unsqueeze(0)
    n, cin, h, width = input.array.shape
    # As a convolution from the result to the input; what output_padding adds beyond whole strides is left unused there.
    bottom = (h - 1) * s[0] + d[0] * (w[2] - 1) + 1 - sizes[0] - p[0]
    right = (width - 1) * s[1] + d[1] * (w[3] - 1) + 1 - sizes[1] - p[1]
    g = Geometry(n, w[1] * groups, sizes[0], sizes[1], cin, w[2], w[3], s[0], s[1], p[0], bottom, p[1], right, d[0], d[1], groups)
    y = fn.conv2d_input_grad(input, weight, g)
    if bias is not None:
        y = y + bias.reshape(-1, 1, 1)
    y = y if spatial == 2 else y.squeeze(-2)
    return y if batched else y.squeeze(0)
