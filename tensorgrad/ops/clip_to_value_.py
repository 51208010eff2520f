"""clip_to_value_: every element of many tensors limited."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, rung
from ..tensor import Tensor
from .shared.stepping import arrays_of, contiguous, told_to_put


class ClipToValue(Op):
    """Each element of each tensor brought into [-limit, limit]; what is not a number stays so."""

    name = "clip_to_value_"
    function = method = False
    mutates = True
    differentiable = False
    defaults = ("cuda/clip", "cpu/numpy")

    def forward(self, ctx: Node, input: Sequence[Tensor], limit: float) -> None:
        if not input:
            return
        with contiguous(arrays_of(input[0].device), input) as (arrays,):
            self.kernel(input[0].device, input[0].array)(arrays, float(limit))

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        return told_to_put(path, call)

    @rung("cpu/numpy", "float16 bfloat16 float32 float64")
    def in_numpy(self, arrays: list[Any], limit: float) -> None:
        """Tensor by tensor."""
        for a in arrays:
            most = a.dtype.type(limit)
            np.clip(a, -most, most, out=a)

    def reference(self, arrays: Any, limit: float) -> Any:
        return [np.clip(a, -limit, limit) for a in arrays]

    def cases(self) -> Iterable[Case]:
        yield Case([T(*shape, grad=False) for shape in ((0,), (), (7,), (3, 5), (2, 3, 37), (9001,))], 0.75)
        yield Case([T(values=[float("nan"), float("inf"), -3.0, 0.25], grad=False)], 1.0)

    def cost(self, input: Any, limit: float) -> tuple[float, float]:
        return float(sum(t.array.size for t in input)), float(2 * sum(t.array.nbytes for t in input))
