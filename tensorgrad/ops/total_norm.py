"""total_norm: the norm of many tensors as one vector."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, rung
from ..tensor import Tensor, wrap
from .shared.stepping import arrays_of, in_order, told_to_put

CHUNK = 8192  # elements whose sum a block of csrc/cuda/optimizer/clip.cu leaves


class TotalNorm(Op):
    """(sum of |x|^p over all elements of all tensors)^(1/p) for p = `norm_type`, or the largest |x| for p = infinity; 0 for no elements.

    The tensors are of one dtype, which the result has too; sums are held in float64, in an order that the sizes alone decide.
    """

    name = "total_norm"
    function = method = False
    differentiable = False
    defaults = ("cuda/clip", "cpu/numpy")

    def forward(self, ctx: Node, input: Sequence[Tensor], norm_type: float = 2.0) -> Tensor:
        device, xp = input[0].device, arrays_of(input[0].device)
        total = xp.empty((), input[0].array.dtype)
        self.kernel(device, total)(total, [in_order(xp, t.array) for t in input], float(norm_type))
        return wrap(total, device)

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        call = told_to_put(path, call)

        def with_workspace(total: Any, arrays: list[Any], p: float) -> None:
            call(total, xp.empty(sum(-(-a.size // CHUNK) for a in arrays), np.float64), arrays, p)

        return with_workspace

    @rung("cpu/numpy", "float16 bfloat16 float32 float64")
    def in_numpy(self, total: Any, arrays: list[Any], p: float) -> None:
        """Tensor by tensor."""
        with np.errstate(over="ignore"):
            if math.isinf(p):
                total[...] = np.max([np.abs(a).max().astype(np.float64) for a in arrays if a.size], initial=0.0)
            else:
                total[...] = math.fsum(_power_sum(a.reshape(-1), p) for a in arrays) ** (1 / p)

    def reference(self, arrays: Any, norm_type: float = 2.0) -> Any:
        values = np.abs(np.concatenate([a.reshape(-1) for a in arrays]))
        return np.asarray(values.max(initial=0.0) if math.isinf(norm_type) else (values**norm_type).sum() ** (1 / norm_type))

    def cases(self) -> Iterable[Case]:
        many = [T(*shape, grad=False) for shape in ((0,), (), (7,), (3, 5), (2, 3, 37), (9001,), (1,))]
        yield from (Case(many), Case(many, 1.0), Case(many, math.inf), Case(many, 3.5), Case([T(0, grad=False)]))

    def cost(self, input: Any, norm_type: float = 2.0) -> tuple[float, float]:
        return 2.0 * sum(t.array.size for t in input), float(sum(t.array.nbytes for t in input))


def _power_sum(a: Any, p: float) -> float:
    """The sum of |a|^p; in the array's own precision where that is enough, else in float64."""
    if p == 2.0 and a.dtype.itemsize >= 4:
        total = float(np.dot(a, a))
        if math.isfinite(total):
            return total
    return float((np.abs(a.astype(np.float64)) ** p).sum())
