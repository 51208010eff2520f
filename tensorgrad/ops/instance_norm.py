"""instance_norm: each channel of each sample brought to mean 0 and variance 1."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import version_cell
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.normalization import check_parameter


class InstanceNorm(Op):
    """y[n, c] = (x[n, c] - mean) / sqrt(var + eps) * weight[c] + bias[c] with the statistics of each sample's channel.

    `input` is (N, C, *). Where running_mean and running_var are given they move by `momentum` towards the batch's mean statistics,
    with the unbiased variance; with use_input_stats False they are the statistics. Ulyanov, Vedaldi, Lempitsky, 2016.
    """

    name = "instance_norm"
    autocast = ("", "widest")
    torch_name = "nn.functional.instance_norm"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
                bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
        shape = input.array.shape
        if len(shape) < 2:
            raise RuntimeError(f"instance_norm: input must be (N, C, ...), got shape {tuple(shape)}")
        n, c, space = shape[0], shape[1], math.prod(shape[2:])
        for name, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
            check_parameter("instance_norm", name, t, (c,), input)
        if not use_input_stats:
            if running_mean is None or running_var is None:
                raise RuntimeError("instance_norm: without use_input_stats, running_mean and running_var must be given")
            return fn.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        if space == 1:
            raise ValueError(f"instance_norm: more than one element per channel is needed, got input of shape {tuple(shape)}")
        if running_mean is None and running_var is None:
            return fn.group_norm(input, c, weight, bias, eps)
        # As one sample of n c channels: batch_norm then moves one copy of the running statistics for each sample.
        xp = input.device.backend.xp
        moving = [None if t is None else wrap(xp.tile(t.array, n), input.device) for t in (running_mean, running_var)]
        params = [None if t is None else fn.reshape(fn.expand(t, n, c), n * c) for t in (weight, bias)]
        y = fn.batch_norm(fn.reshape(input, 1, n * c, *shape[2:]), *moving, *params, True, momentum, eps)
        for t, copies in zip((running_mean, running_var), moving, strict=True):
            if t is not None and copies is not None and n:
                t.array[...] = copies.array.reshape(n, c).mean(0)
                version_cell(t)[0] += 1
        return fn.reshape(y, shape)

    def reference(self, x: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Any:
        if not use_input_stats:
            return fn.batch_norm.op.reference(x, running_mean, running_var, weight, bias, False, momentum, eps)
        return fn.group_norm.op.reference(x, x.shape[1], weight, bias, eps)

    def cases(self) -> Iterable[Case]:
        def c(low: float = -1.0) -> T:
            return T(3, low=low, grad=False)

        yield from (Case(T(2, 3, 5)), Case(T(2, 3, 4, 5), weight=T(3), bias=T(3)))
        yield from (Case(T(2, 3, 2, 2, 3), c(), c(0.5), T(3), None, False), Case(T(0, 3, 4), weight=T(3), torch=False))
        yield Case(T(2, 3, 1), error=(ValueError, "instance_norm: more than one element per channel is needed"))
        yield Case(T(2, 3, 4), use_input_stats=False, error=(RuntimeError, "running_mean and running_var must be given"))
        yield Case(T(2, 3, 4), weight=T(2), error=(RuntimeError, "instance_norm: weight has shape (2,)"))
