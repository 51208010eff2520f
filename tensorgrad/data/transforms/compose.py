"""Transforms of transforms."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import draw

Function = Callable[[Any], Any]


class Transform:
    """Base of transforms: something to call with a picture. Its public attributes are its settings, and are printed."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items() if not k.startswith('_'))})"


class Compose(Transform):
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Function]):
        for i, t in enumerate(transforms):
            if not callable(t):
                raise TypeError(f"{type(self).__name__}: transforms[{i}] is a {type(t).__name__}, which cannot be called")
        self.transforms = list(transforms)

    def __call__(self, picture: Any) -> Any:
        for t in self.transforms:
            picture = t(picture)
        return picture

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n" + "".join(f"    {t!r}\n" for t in self.transforms) + ")"


class RandomOrder(Compose):
    """All transforms, in a random order."""

    def __call__(self, picture: Any) -> Any:
        for i in draw.order(len(self.transforms)):
            picture = self.transforms[i](picture)
        return picture


class RandomApply(Compose):
    """All transforms with probability `p`, else none."""

    def __init__(self, transforms: Sequence[Function], p: float = 0.5):
        super().__init__(transforms)
        self.p = draw.probability(p, "RandomApply")

    def __call__(self, picture: Any) -> Any:
        return super().__call__(picture) if draw.chance(self.p) else picture


class RandomChoice(Compose):
    """One of the transforms, with probabilities proportional to `p` (equal ones by default)."""

    def __init__(self, transforms: Sequence[Function], p: Sequence[float] | None = None):
        super().__init__(transforms)
        if not transforms:
            raise ValueError("RandomChoice: at least one transform is needed")
        if p is not None and (len(p) != len(transforms) or min(p) < 0 or sum(p) <= 0):
            raise ValueError(f"RandomChoice: p must have a number for each of the {len(transforms)} transforms, none negative, got {p!r}")
        self.p = p

    def __call__(self, picture: Any) -> Any:
        sums = np.cumsum(self.p if self.p is not None else np.ones(len(self.transforms)))
        return self.transforms[int(np.searchsorted(sums, draw.uniform(0, sums[-1]), side="right"))](picture)


class Lambda(Transform):
    """A function as a transform."""

    def __init__(self, lambd: Function):
        if not callable(lambd):
            raise TypeError(f"Lambda: a {type(lambd).__name__} cannot be called")
        self.lambd = lambd

    def __call__(self, picture: Any) -> Any:
        return self.lambd(picture)
