"""batch_norm: each channel brought to mean 0 and variance 1 over the batch."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node, version_cell
from ..op import Op, fn, rung
from ..tensor import Tensor, wrap
from .shared.channels import as_lines, empty_rows, in_rows, layout_of, needs_rows, suits_rows, with_sums
from .shared.normalization import check_eps, check_parameter, flat


class BatchNorm(Op):
    """y[n, c] = (x[n, c] - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c], for `input` (N, C, *).

    With `training`, mean and (biased) variance are those of the batch, over all dims but C, and where running_mean and
    running_var are given they move: running = (1 - momentum) running + momentum batch, with the unbiased variance. Else they are
    running_mean and running_var. Training needs more than one value per channel. Ioffe, Szegedy, "Batch normalization", 2015.
    """

    name = "batch_norm"
    torch_name = "nn.functional.batch_norm"
    method = False
    functional = True
    defaults = ("cuda/v05_channels_last_cluster", "cuda/v02_channels_last", "cuda/v04_cluster", "cuda/v03_held", "triton/v02_channels_last",
                "triton/v03_held", "cpu/channels", "cpu/numpy")

    def forward(self, ctx: Node, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
                bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        if x.ndim < 2:
            raise RuntimeError(f"batch_norm: input must be (N, C, ...), got shape {tuple(x.shape)}")
        c = x.shape[1]
        running = (running_mean, running_var)
        for name, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
            check_parameter("batch_norm", name, t, (c,), input)
        if not training and (running_mean is None or running_var is None):
            raise RuntimeError("batch_norm: without training, running_mean and running_var must be given")
        if training and x.size == c:
            raise ValueError(f"batch_norm: training needs more than one value per channel, got input of shape {tuple(x.shape)}")
        ctx.eps, ctx.training, ctx.bias = check_eps("batch_norm", eps), bool(training), None if bias is None else bias.array.dtype
        ctx.mean, ctx.rstd = xp.empty(c), xp.empty(c)
        if not training:
            ctx.mean[...] = running_mean.array  # type: ignore[union-attr]
            ctx.rstd[...] = 1 / xp.sqrt(running_var.array.astype(np.float64) + ctx.eps)  # type: ignore[union-attr]
        layout = layout_of(x, ctx.training, 1)
        rows = in_rows(self.chosen(input.device, x, layout))
        y = empty_rows(xp, x) if rows else xp.empty(x.shape, x.dtype)
        if x.size:
            moving = [xp.ascontiguousarray(t.array) if t is not None and training else None for t in running]
            run = self.kernel(input.device, x, layout)
            run(as_lines(xp, y, rows), ctx.mean, ctx.rstd, *moving, as_lines(xp, x, rows), flat(weight, xp), flat(bias, xp),
                int(ctx.training), float(momentum), ctx.eps)
            for t, moved in zip(running, moving, strict=True):
                if t is not None and moved is not None:
                    if moved is not t.array:
                        t.array[...] = moved
                    version_cell(t)[0] += 1
        ctx.save(input, weight)
        return wrap(y, input.device)

    bind = with_sums
    supports = needs_rows
    suits = suits_rows

    @staticmethod
    @rung("cpu/numpy", writes=(0, 1, 2, 3, 4))
    def two_passes(y: Any, mean: Any, rstd: Any, running_mean: Any, running_var: Any, x: Any, weight: Any, bias: Any, training: int,
                   momentum: float, eps: float) -> None:
        """The definition, in float64."""
        wide = x.astype(np.float64)
        if training:
            var, n = wide.var((0, 2)), x.shape[0] * x.shape[2]
            mean[...], rstd[...] = wide.mean((0, 2)), 1 / np.sqrt(var + eps)
            for running, value in ((running_mean, mean), (running_var, var * n / (n - 1))):
                if running is not None:
                    running[...] = (1 - momentum) * running + momentum * value
        out = (wide - mean[:, None]) * rstd[:, None]
        y[...] = out * (1 if weight is None else weight[:, None]) + (0 if bias is None else bias[:, None])

    def backward(self, ctx: Node, g: Tensor) -> tuple:
        x, weight = ctx.saved
        need_x, _, _, need_weight, need_bias = ctx.needs
        kinds = (x.array.dtype if need_x else None, weight.array.dtype if need_weight else None, ctx.bias if need_bias else None)
        found = iter(fn.batch_norm_backward(g, x, weight, ctx.mean, ctx.rstd, ctx.training, ctx.eps, kinds))
        return tuple([next(found) if need else None for need in ctx.needs])

    def reference(self, x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
                  momentum: float = 0.1, eps: float = 1e-5) -> Any:
        dims, line = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
        mean, var = (x.mean(dims), x.var(dims)) if training else (running_mean, running_var)
        y = (x - mean.reshape(line)) / np.sqrt(var.reshape(line) + eps)
        return y * (1 if weight is None else weight.reshape(line)) + (0 if bias is None else bias.reshape(line))

    def cases(self) -> Iterable[Case]:
        def c(n: int, low: float = -1.0) -> T:
            return T(n, low=low, grad=False)

        yield from (Case(T(5, 3), None, None, T(3), T(3), training=True), Case(T(2, 3, 7), c(3), c(3, 0.5), T(3), T(3)))
        yield from (Case(T(2, 3, 4, 5), None, None, training=True), Case(T(3, 2, 5, 5), None, None, T(2), None, True))
        yield from (Case(T(2, 2, 1, 3, 2), None, None, None, T(2), True, eps=1e-3), Case(T(7, 41, 2), None, None, T(41), T(41), True))
        yield from (Case(T(1, 1, 1, 2), None, None, training=True), Case(T(3, 2), c(2), c(2, 0.5)), Case(T(0, 3, 2), c(3), c(3, 0.5), T(3)))
        yield Case(T(1, 3), None, None, training=True, error=(ValueError, "batch_norm: training needs more than one value per channel"))
        yield Case(T(2, 3), None, None, error=(RuntimeError, "batch_norm: without training, running_mean and running_var must be given"))
        yield Case(T(2, 3), c(2), c(2), error=(RuntimeError, "running_mean has shape (2,) but input of shape (2, 3) needs (3,)"))
        yield Case(T(2, 3), None, None, T(4), training=True, error=(RuntimeError, "batch_norm: weight has shape (4,)"))
        yield Case(T(3), None, None, training=True, error=(RuntimeError, "batch_norm: input must be (N, C, ...)"), torch=False)

    def cost(self, input: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        n = float(np.prod(input.shape))
        return 7 * n, 2 * n * input.dtype.itemsize
