"""rprop_step: one step of Rprop."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case
from ..graph import Node
from ..op import rung
from ..tensor import Tensor
from .shared.stepping import FusedStep, States


class RpropStep(FusedStep):
    """p -= sign(g) step; an element's own step, times `longer` where g has the sign of `prev`, `shorter` where not, in [least, most].

    Where the sign changed the step is not taken, and `prev` becomes 0 instead of g. g is the gradient, negated where `maximize`.
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", ICNN 1993.
    """

    name = "rprop_step"
    arithmetic = 6

    def forward(self, ctx: Node, input: Sequence[Tensor], grad: Sequence[Tensor], prev: Sequence[Tensor], step_size: Sequence[Tensor],
                shorter: float = 0.5, longer: float = 1.2, least: float = 1e-6, most: float = 50.0, maximize: bool = False,
                master: States = None) -> None:
        self.run(input, grad, master, (prev, step_size), shorter, longer, least, most, int(maximize))

    @rung("cpu/numpy", writes=(0, 1, 3, 4))
    def in_numpy(self, params: Any, master: Any, grads: Any, before: Any, steps: Any, shorter: float, longer: float, least: float,
                 most: float, maximize: int) -> None:
        for p, g, prev, step in self.each(params, master, grads, before, steps):
            g = -g if maximize else g
            agrees = np.sign(g * prev)
            step[...] = np.clip(step * np.where(agrees > 0, longer, np.where(agrees < 0, shorter, 1)), least, most)
            prev[...] = np.where(agrees < 0, 0, g)
            p -= np.sign(prev) * step

    def reference(self, params: Any, grads: Any, before: Any, steps: Any, shorter: float = 0.5, longer: float = 1.2, least: float = 1e-6,
                  most: float = 50.0, maximize: bool = False) -> Any:
        def one(p: Any, g: Any, prev: Any, step: Any) -> Any:
            g = -g if maximize else g
            factor = np.array([shorter, 1, longer])[np.sign(g * prev).astype(int) + 1]
            return p - np.where(factor == shorter, 0, np.sign(g)) * np.clip(step * factor, least, most)

        return [one(*items) for items in zip(params, grads, before, steps, strict=True)]

    def cases(self) -> Iterable[Case]:
        yield from self.sample(2, 0.5, 1.2, 0.55, 0.9, False)
        yield from self.sample(2, 0.25, 2.0, 1e-6, 50.0, True)
