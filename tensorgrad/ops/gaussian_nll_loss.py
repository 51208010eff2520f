"""gaussian_nll_loss: the negative log-likelihood under normal distributions."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, Operand, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, reduce_loss, reference_reduce, same_shape


class GaussianNllLoss(Op):
    """(ln v + (input - target)^2 / v) / 2, with v = max(var, eps), plus ln(2 pi) / 2 where `full`; its mean or sum.

    `var` is a number, or a tensor of input's shape, of that with a last size of 1, or without the last dimension. ValueError for
    negative variances and shapes that do not fit. Nix and Weigend, "Estimating the mean and variance of the target", 1994."""

    name = "gaussian_nll_loss"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, var: Operand, full: bool = False, eps: float = 1e-6,
                reduction: str = "mean") -> Tensor:
        check_reduction("gaussian_nll_loss", reduction)
        same_shape("gaussian_nll_loss", input, target)
        spread = var if isinstance(var, Tensor) else input.new_full(tuple(input.shape), fill_value=float(var))
        if not input.device.backend.capturing() and ((v := spread.device.backend.to_numpy(spread.array)) < 0).any():
            where = tuple(int(i) for i in np.argwhere(v < 0)[0])
            raise ValueError(f"gaussian_nll_loss: var must not be negative; it is {float(v[where])} at position {where}")
        full_shape, shape = tuple(input.shape), tuple(spread.shape)
        if shape != full_shape:
            if shape == full_shape[:-1]:
                spread = spread.unsqueeze(-1)
            elif len(shape) != len(full_shape) or [b for a, b in zip(full_shape, shape, strict=True) if a != b] != [1]:
                raise ValueError(f"gaussian_nll_loss: var has shape {shape}; input's {full_shape} allows that, one size of 1 instead, or "
                                 f"{full_shape[:-1]}")
        spread = spread + (fn.clamp(spread, min=eps) - spread).detach()  # the gradient passes the lower limit
        loss = (spread.log() + (input - target).square() / spread) * 0.5
        return reduce_loss("gaussian_nll_loss", loss + 0.5 * np.log(2 * np.pi) if full else loss, reduction)

    def reference(self, x: Any, y: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
        var = np.maximum(var, eps)
        var = var[..., None] if var.ndim and var.ndim < x.ndim else var
        return reference_reduce((np.log(var) + (x - y) ** 2 / var) / 2 + (np.log(2 * np.pi) / 2 if full else 0), reduction)

    def cases(self) -> Iterable[Case]:
        x = T(3, 4)
        for var in (T(3, 4, low=0.5), T(3, 1, low=0.5), T(3, low=0.5), 0.7):
            for reduction in ("mean", "none"):
                yield Case(x, x, var, full=reduction == "none", reduction=reduction)
        yield Case(x, x, T(4, 4, low=0.5), error=(ValueError, "gaussian_nll_loss: var has shape (4, 4)"))
        yield Case(x, x, T(3, 4, high=-1), error=(ValueError, "gaussian_nll_loss: var must not be negative; it is"))
