"""The activations a matrix product can end with."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ... import dispatch
from ...op import fn
from ...tensor import Tensor


@dataclass(frozen=True)
class Activation:
    """One of them: the op, and how it is called."""

    op: str = ""  # none: y = x
    options: dict[str, Any] = field(default_factory=dict)
    numbers: tuple[int, ...] = ()  # of its backward op

    def forward(self, x: Tensor) -> Tensor:
        """y = f(x)."""
        return getattr(fn, self.op)(x, **self.options) if self.op else x

    def backward(self, g: Tensor, x: Tensor) -> Tensor:
        """g f'(x)."""
        return dispatch._ops[f"{self.op}_backward"].call(g, x, *self.numbers) if self.op else g

    def reference(self, x: Any) -> Any:
        """f on float64 arrays."""
        return dispatch._ops[self.op].reference(x, **self.options) if self.op else x


# In the order of csrc/cuda/matmul/epilogue.h. The backward op of relu takes what relu gave, which has the sign of what it was given.
ACTIVATIONS = {"none": Activation(), "relu": Activation("relu"), "gelu": Activation("gelu", {}, (0,)),
               "gelu_tanh": Activation("gelu", {"approximate": "tanh"}, (1,)), "silu": Activation("silu")}


def check_activation(op: str, activation: str) -> None:
    """ValueError unless there is such an activation."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"{op}: there is no activation {activation!r}; there are {', '.join(ACTIVATIONS)}")
