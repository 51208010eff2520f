"""binary_cross_entropy: -ln of the probability given to the truth, yes or no."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.losses import check_reduction, pair_cases, reduce_loss, reference_reduce, same_shape


class BinaryCrossEntropy(Op):
    """-(y ln p + (1 - y) ln(1 - p)) for probabilities p = input and y = target, times `weight`; its mean or sum.

    Logarithms are cut at -100, so that certainty costs a finite amount. RuntimeError for a p outside [0, 1], ValueError for shapes
    that differ. With scores instead of probabilities, binary_cross_entropy_with_logits is exact."""

    name = "binary_cross_entropy"
    autocast = ("float32", "refused")
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
                reduce: bool | None = None, reduction: str = "mean") -> Tensor:
        how = check_reduction("binary_cross_entropy", reduction, size_average, reduce)
        same_shape("binary_cross_entropy", input, target)
        p = input.array
        if not input.device.backend.capturing() and bool((bad := ~((p >= 0) & (p <= 1))).any()):
            bad = input.device.backend.to_numpy(bad)
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise RuntimeError(f"binary_cross_entropy: input must lie in [0, 1]; it is {float(p[where])} at position {where} of "
                               f"{tuple(input.shape)}; binary_cross_entropy_with_logits takes scores of any size")
        loss = -(target * _log(input) + (1 - target) * _log(1 - input))
        if weight is not None:
            loss = loss * weight
        return reduce_loss("binary_cross_entropy", loss, how)

    def reference(self, p: Any, y: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Any:
        with np.errstate(divide="ignore"):
            loss = -(y * np.maximum(np.log(p), -100) + (1 - y) * np.maximum(np.log(1 - p), -100))
        return reference_reduce(loss * (1 if weight is None else weight), reduction)

    def cases(self) -> Iterable[Case]:
        yield from pair_cases(self.name, {"low": 0.1, "high": 0.9}, {"low": 0, "high": 1}, weight=T(4, grad=False))
        yield Case(T(values=[0.0, 1.0, 0.5, 1.0], grad=False), T(values=[0.0, 0.0, 1.0, 1.0], grad=False), reduction="none")
        yield Case(T(values=[0.5, 1.5]), T(2, low=0, high=1), error=(RuntimeError, "it is 1.5 at position (1,)"))
        yield Case(T(values=[0.5, float("nan")]), T(2, low=0, high=1), error=(RuntimeError, "it is nan at position (1,)"), torch=False)


def _log(p: Tensor) -> Tensor:
    """ln p, at least -100; the gradient there is 0 / p, kept finite."""
    return fn.where(p > 0, fn.where(p > 0, p, 1.0).log(), -100.0).clamp(min=-100.0)
