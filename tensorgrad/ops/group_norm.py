"""group_norm: each group of channels of each sample brought to mean 0 and variance 1."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.channels import as_lines, empty_rows, in_rows, layout_of_groups, needs_rows, suits_groups, with_sums_of_groups
from .shared.normalization import check_eps, check_parameter, flat


class GroupNorm(Op):
    """y = (x - mean) / sqrt(var + eps) * weight[c] + bias[c] for `input` (N, C, *).

    Mean and (biased) variance are those of a sample's group of C / num_groups neighbouring channels.
    Wu, He, "Group normalization", 2018.
    """

    name = "group_norm"
    autocast = ("", "float32")
    method = False
    functional = True
    defaults = ("cuda/v05_channels_last_cluster", "cuda/v02_channels_last", "cuda/v04_cluster", "cuda/v03_held", "triton/v02_channels_last",
                "triton/v03_held", "cpu/channels_last", "cpu/groups", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
                eps: float = 1e-5) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        if x.ndim < 2:
            raise RuntimeError(f"group_norm: input must be (N, C, ...), got shape {tuple(x.shape)}")
        c = x.shape[1]
        if num_groups < 1 or c % num_groups:
            raise RuntimeError(f"group_norm: {c} channels (dim 1 of {tuple(x.shape)}) do not divide into {num_groups} groups")
        check_parameter("group_norm", "weight", weight, (c,), input)
        check_parameter("group_norm", "bias", bias, (c,), input)
        ctx.eps, ctx.bias = check_eps("group_norm", eps), None if bias is None else bias.array.dtype
        layout = layout_of_groups(x, num_groups)
        rows = in_rows(self.chosen(input.device, x, layout))
        y = empty_rows(xp, x) if rows else xp.empty(x.shape, x.dtype)
        ctx.mean, ctx.rstd = xp.empty((x.shape[0], num_groups)), xp.empty((x.shape[0], num_groups))
        if x.size:
            run = self.kernel(input.device, x, layout)
            run(as_lines(xp, y, rows), ctx.mean, ctx.rstd, as_lines(xp, x, rows), flat(weight, xp), flat(bias, xp), ctx.eps)
        ctx.save(input, weight)
        return wrap(y, input.device)

    bind = with_sums_of_groups
    supports = needs_rows
    suits = suits_groups

    @staticmethod
    @rung("cpu/numpy", writes=(0, 1, 2))
    def two_passes(y: Any, mean: Any, rstd: Any, x: Any, weight: Any, bias: Any, eps: float) -> None:
        """The definition, in float64."""
        wide = x.astype(np.float64).reshape(*mean.shape, -1)
        mean[...], rstd[...] = wide.mean(2), 1 / np.sqrt(wide.var(2) + eps)
        out = ((wide - mean[..., None]) * rstd[..., None]).reshape(x.shape)
        y[...] = out * (1 if weight is None else weight[:, None]) + (0 if bias is None else bias[:, None])

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, weight = ctx.saved
        given = (x.array.dtype, None if weight is None else weight.array.dtype, ctx.bias)
        kinds = tuple([kind if need else None for kind, need in zip(given, ctx.needs, strict=True)])
        found = iter(fn.group_norm_backward(g, x, weight, ctx.mean, ctx.rstd, ctx.eps, kinds))
        return tuple([next(found) if need else None for need in ctx.needs])

    def reference(self, x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        line = (-1, *[1] * (x.ndim - 2))
        groups = x.reshape(x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:])
        dims = tuple(range(2, groups.ndim))
        y = ((groups - groups.mean(dims, keepdims=True)) / np.sqrt(groups.var(dims, keepdims=True) + eps)).reshape(x.shape)
        return y * (1 if weight is None else weight.reshape(line)) + (0 if bias is None else bias.reshape(line))

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 6, 5), 3, T(6), T(6)), Case(T(3, 4), 2, T(4), T(4)), Case(T(2, 4, 3, 7), 1), Case(T(1, 5, 2, 2), 5, T(5)))
        yield Case(T(2, 2, 17), 2, None, T(2), 1e-3, torch=False)  # PyTorch's backward fails without a weight
        yield from (Case(T(2, 3, 2, 1, 5), 3, T(3), T(3)), Case(T(0, 4, 3), 2, T(4), T(4)))
        yield Case(T(2, 5, 3), 2, error=(RuntimeError, "group_norm: 5 channels (dim 1 of (2, 5, 3)) do not divide into 2 groups"))
        yield Case(T(2, 4, 3), 2, T(2), error=(RuntimeError, "group_norm: weight has shape (2,) but input of shape (2, 4, 3) needs (4,)"))
        yield Case(T(4), 2, error=(RuntimeError, "group_norm: input must be (N, C, ...)"))

    def cost(self, input: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        return 7 * n, 2 * n * input.dtype.itemsize
