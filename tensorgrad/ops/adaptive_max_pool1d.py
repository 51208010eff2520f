"""adaptive_max_pool1d: the largest value of each of as many windows of a line as asked for."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import check_image, output_sizes


class AdaptiveMaxPool1d(Op):
    """y[n, c, i] = max of x[n, c, floor(i L / LO) : ceil((i + 1) L / LO)], for `input` (N, C, L) or (C, L); with `return_indices`
    also where it lies."""

    name = "adaptive_max_pool1d"
    torch_name = "nn.functional.adaptive_max_pool1d"
    function = method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        check_image("adaptive_max_pool1d", input, 1)
        (size,) = output_sizes("adaptive_max_pool1d", output_size, input.array.shape[-1:])
        found = fn.adaptive_max_pool2d(fn.unsqueeze(input, -2), (1, size), return_indices)
        return tuple([fn.squeeze(t, -2) for t in found]) if return_indices else fn.squeeze(found, -2)

    def reference(self, x: Any, output_size: Any, return_indices: bool = False) -> Any:
        sizes = [1, *output_sizes("", output_size, x.shape[-1:])]
        found = fn.adaptive_max_pool2d.op.reference(x[..., None, :], sizes, return_indices)
        return tuple(a[..., 0, :] for a in found) if return_indices else found[..., 0, :]

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 3, 7, distinct=True), 3), Case(T(3, 5, distinct=True), [1], return_indices=True))
        yield from (Case(T(1, 2, 3, distinct=True), 7), Case(T(0, 2, 4), 2))
        yield Case(T(3), 2, error=(RuntimeError, "adaptive_max_pool1d: input must have 2 or 3 dims"))
