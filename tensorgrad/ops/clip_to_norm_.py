"""clip_to_norm_: many tensors scaled to a norm at most."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, rung
from ..tensor import Tensor
from .shared.stepping import arrays_of, contiguous, told_to_put


class ClipToNorm(Op):
    """Each tensor times max_norm / (total + 1e-6), where that is below 1; `total`, a tensor without dimensions, is their common norm.

    The factor is computed where the tensors are: nobody waits for the norm. A norm that is not a number makes them all so.
    """

    name = "clip_to_norm_"
    function = method = False
    mutates = True
    differentiable = False
    defaults = ("cuda/clip", "cpu/numpy")

    def forward(self, ctx: Node, input: Sequence[Tensor], total: Tensor, max_norm: float) -> None:
        if not input:
            return
        with contiguous(arrays_of(input[0].device), input) as (arrays,):
            self.kernel(input[0].device, input[0].array)(arrays, total.array, float(max_norm))

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        return told_to_put(path, call)

    @rung("cpu/numpy", "float16 bfloat16 float32 float64")
    def in_numpy(self, arrays: list[Any], total: Any, max_norm: float) -> None:
        """Tensor by tensor."""
        factor = max_norm / (float(total) + 1e-6)
        if not factor >= 1:
            for a in arrays:
                a *= a.dtype.type(factor)

    def reference(self, arrays: Any, total: Any, max_norm: float) -> Any:
        return [a * np.minimum(max_norm / (total + 1e-6), 1) for a in arrays]

    def cases(self) -> Iterable[Case]:
        many = [T(*shape, grad=False) for shape in ((0,), (), (7,), (3, 5), (2, 3, 37), (9001,))]
        for norm in (4.0, 0.5, float("nan")):
            yield Case(many, T(values=norm, grad=False), 2.0)

    def cost(self, input: Any, total: Any, max_norm: float) -> tuple[float, float]:
        return float(sum(t.array.size for t in input)), float(2 * sum(t.array.nbytes for t in input))
