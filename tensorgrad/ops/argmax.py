"""argmax: where the largest element is."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import rung
from ..pointwise import ALL_TYPES
from ..tensor import Tensor, check_dim, wrap
from .shared.reduction import Reduction, refuse_empty


class Argmax(Reduction):
    """The index of the largest element along `dim`, or in the flattened tensor; of equal ones the first, NaN before all."""

    name = "argmax"
    differentiable = False

    def forward(self, ctx: Node, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        axis = None if dim is None else check_dim("argmax", dim, x.ndim)
        refuse_empty("argmax", x.shape, range(x.ndim) if axis is None else (axis,) if x.ndim else ())
        if x.ndim == 0:
            return wrap(xp.zeros((), np.int64), input.device)
        dims = tuple(range(x.ndim)) if axis is None else (axis,)
        return wrap(self.kernel(input.device, x)(x, dims, keepdim, np.dtype(np.int64)), input.device)

    @staticmethod
    @rung("cpu/numpy", ALL_TYPES, writes=())
    def in_numpy(x: Any, dims: tuple[int, ...], keepdim: bool, kind: Any) -> Any:
        """np.argmax."""
        return np.asarray(np.argmax(x, axis=None if len(dims) == x.ndim else dims[0], keepdims=keepdim), kind)

    def reference(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return np.argmax(x, axis=dim, keepdims=keepdim)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 5, distinct=True)), Case(T(3, 5, distinct=True), 1), Case(T(3, 5, distinct=True), dim=0, keepdim=True))
        yield from (Case(T()), Case(T(2, 0, 3), 0), Case(T(values=[1, 3, 3, 1], dtype="int64")), Case(T(values=[1.0, np.nan, 3.0])))
        yield Case(T(2, 3), dim=2, error=(IndexError, "argmax: dim 2 is out of range"))
        yield Case(T(0), error=(RuntimeError, "argmax: an empty tensor of shape (0,)"), torch=False)
