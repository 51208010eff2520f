"""drop: the kernel behind all dropouts, random zeros and a scale in one pass."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import random
from ..cases import Case, T
from ..graph import Node
from ..op import Op, assign, fn
from ..tensor import Tensor, wrap
from .shared.philox import words


class Drop(Op):
    """y = x * scale + shift where kept, x * 0 + dropped elsewhere; kept with probability `keep`.

    One draw decides about the last `run_dims` dims together. Draw i is word i of the Philox stream from `state`, (seed, block). Only
    the state is remembered: the gradient draws the same numbers again. The result depends on the seed and the position alone, not on
    threads or device.
    """

    name = "drop"
    function = method = False
    defaults = ("cpu/philox",)

    def forward(self, ctx: Node, input: Tensor, keep: float, scale: float, shift: float = 0.0, dropped: float = 0.0, run_dims: int = 0,
                state: tuple[int, int] = (0, 0)) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        split = x.ndim - run_dims
        lines = (math.prod(x.shape[:split]), math.prod(x.shape[split:]))
        seed, block = state
        y = xp.empty(x.shape, x.dtype)
        self.kernel(input.device, x)(y.reshape(lines), xp.ascontiguousarray(x).reshape(lines), random.signed64(seed), block,
                                     round(keep * 2**32), float(scale), float(shift), float(dropped))
        ctx.arguments = keep, scale, 0.0, 0.0, run_dims, (seed, block)
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.drop(g, *ctx.arguments)

    def reference(self, x: Any, keep: float, scale: float, shift: float = 0.0, dropped: float = 0.0, run_dims: int = 0,
                  state: tuple[int, int] = (0, 0)) -> Any:
        draws = x.shape[:x.ndim - run_dims]
        kept = (words(*state, math.prod(draws)) < round(keep * 2**32)).reshape((*draws, *[1] * run_dims))
        return x * (kept * scale) + np.where(kept, shift, dropped)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(5, 41), 0.7, 1.5), Case(T(2, 3, 5), 0.4, 2.5, run_dims=1, state=(7, 3)), Case(T(37), 0.4, 1.5, 0.25, -1.5))
        yield from (Case(T(0, 3), 0.5, 2.0), Case(T(9), 0.0, 0.0), Case(T(9), 1.0, 1.0), Case(T(), 0.5, 2.0))
        yield Case(T(66), 0.3, 1.0, state=(0x9ABCDEF012345678, 2**32 - 3))

    @staticmethod
    def reserved(input: Tensor, run_dims: int = 0) -> tuple[int, int]:
        """A stretch of the stream of the device's generator, a word for each draw about `input`."""
        shape = input.array.shape
        return random.reserve("drop", input.device, None, math.prod(shape[:len(shape) - run_dims]))

    @staticmethod
    def check(op: str, p: float) -> float:
        """`p` as a float; ValueError unless it is a probability."""
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{op}: p must be a probability between 0 and 1, got {p}")
        return float(p)

    def scaled(self, op: str, input: Tensor, p: float, training: bool, inplace: bool, run_dims: int = 0,
               state: tuple[int, int] | None = None) -> Tensor:
        """Dropout proper: zeros with probability p, the rest divided by 1 - p."""
        p = self.check(op, p)
        if not training or p == 0:
            return input
        y = fn.drop(input, 1 - p, 1 / (1 - p) if p < 1 else 0.0, 0.0, 0.0, run_dims, state or self.reserved(input, run_dims))
        return assign(input, y, op) if inplace else y

    def alpha(self, op: str, input: Tensor, p: float, training: bool, inplace: bool, run_dims: int = 0) -> Tensor:
        """Dropout to the negative limit of SELU, scaled and shifted so that mean 0 and variance 1 stay."""
        p = self.check(op, p)
        if not training or p == 0:
            return input
        limit = 1.0507009873554805 * 1.6732632423543772  # SELU's scale * alpha
        a = 1 / math.sqrt((1 - p) * (1 + p * limit * limit)) if p < 1 else 0.0
        y = fn.drop(input, 1 - p, a, a * limit * p, a * limit * (p - 1), run_dims, self.reserved(input, run_dims))
        return assign(input, y, op) if inplace else y


def check_dims(op: str, input: Any, allowed: tuple[int, ...], meaning: str) -> None:
    """Refuse an input whose number of dims is not among `allowed`."""
    if input.array.ndim not in allowed:
        raise RuntimeError(f"{op}: input must be {meaning}, got shape {tuple(input.array.shape)}")
