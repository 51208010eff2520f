"""movedim: dimensions at new places."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, check_dim


class MoveDim(Op):
    """A view with the dims `source` at the places `destination`; the others keep their order."""

    name = "movedim"
    aliases = ("moveaxis",)
    composite = True

    def forward(self, input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        n = input.array.ndim
        old = [check_dim("movedim", d, n) for d in ([source] if isinstance(source, int) else source)]
        new = [check_dim("movedim", d, n) for d in ([destination] if isinstance(destination, int) else destination)]
        if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new):
            raise RuntimeError(f"movedim: source {source} and destination {destination} must be as many, without repetition")
        if not n:
            return fn.permute(input, ())
        rest = iter([d for d in range(n) if d not in old])
        return fn.permute(input, tuple([old[new.index(i)] if i in new else next(rest) for i in range(n)]))

    def reference(self, x: Any, source: Any, destination: Any) -> Any:
        return np.moveaxis(x, source, destination)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 5), 0, 2), Case(T(2, 3, 5), (0, -1), (1, 0)), Case(T(2, 0), 1, 0), Case(T(4), 0, 0))
        yield Case(T(2, 3), (0, 0), (0, 1), error=(RuntimeError, "movedim: source (0, 0) and destination (0, 1)"))
