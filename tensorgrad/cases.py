"""How an op file describes its sample calls; tests, fuzzing and benchmarks are made from these."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class T:
    """A random array argument: `T(2, 3)` floats in [low, high); `T(5, dtype="int64", low=0, high=4)`.

    `grad=False` keeps a floating argument out of gradient checks; `values` gives the data itself; `distinct=True` spreads the
    values so that no two are closer than finite differences reach (for max, sort, abs).
    """

    shape: tuple[int, ...]
    dtype: str = "float"
    low: float = -2.0
    high: float = 2.0
    grad: bool = True
    distinct: bool = False
    values: Any = None

    def __init__(self, *shape: int, dtype: str = "float", low: float = -2.0, high: float = 2.0, grad: bool = True,
                 distinct: bool = False, values: Any = None):
        if values is not None:
            shape = np.shape(values)
        for name, value in (("shape", shape), ("dtype", dtype), ("low", low), ("high", high), ("grad", grad),
                            ("distinct", distinct), ("values", values)):
            object.__setattr__(self, name, value)

    def make(self, rng: np.random.Generator, float_type: Any = np.float64) -> np.ndarray:
        """The array; floats in `float_type`."""
        if self.values is not None:
            return np.array(self.values, dtype=float_type if self.dtype == "float" else self.dtype)
        if self.dtype == "bool":
            return np.asarray(rng.random(self.shape) < 0.5)
        if self.dtype != "float":
            return np.asarray(rng.integers(int(self.low), int(self.high), self.shape)).astype(self.dtype)
        if self.distinct:
            n = int(np.prod(self.shape))
            steps = (rng.permutation(n) + 0.5) / max(n, 1)
            return (self.low + (self.high - self.low) * steps).reshape(self.shape).astype(float_type)
        return rng.uniform(self.low, self.high, self.shape).astype(float_type)


@dataclass
class Case:
    """One sample call. Lists of `T` stand for lists of tensors.

    `smooth=False`: a call without second derivatives to check. `error`: a wrong call, with the expected exception and a piece of
    its message. `torch=False`: PyTorch does not take this call, or answers otherwise for a reason the op's docstring gives.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True
    error: tuple[type[Exception], str] | None = None
    torch: bool = True

    def __init__(self, *args: Any, smooth: bool = True, error: tuple[type[Exception], str] | None = None, torch: bool = True,
                 **kwargs: Any):
        self.args, self.kwargs, self.smooth, self.error, self.torch = args, kwargs, smooth, error, torch

    def __repr__(self) -> str:
        def show(a: Any) -> str:
            if isinstance(a, T):
                return "x".join(map(str, a.shape)) or "scalar"
            if isinstance(a, list):
                return "[" + ",".join(map(show, a)) + "]"
            return type(a).__name__ if type(a).__repr__ is object.__repr__ else str(a)  # no addresses: test names must repeat

        return " ".join([*map(show, self.args), *(f"{k}={show(v)}" for k, v in self.kwargs.items())])


def unary_shapes(**spec: Any) -> list[Case]:
    """The shapes every element-wise function is tried on: empty, scalar, one, prime, a few dimensions."""
    return [Case(T(*shape, **spec)) for shape in ((0,), (), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 4))]


def binary_shapes(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> list[Case]:
    """Pairs of shapes: equal, broadcast either way, scalars, empty."""
    pairs = (((5,), (5,)), ((3, 5), (5,)), ((4, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((0, 3), (1, 3)), ((2, 1, 3), (7, 1)))
    return [Case(T(*x, **(a or {})), T(*y, **(b or {}))) for x, y in pairs]
