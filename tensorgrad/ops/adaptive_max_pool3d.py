"""adaptive_max_pool3d: the largest value of each of as many windows of a volume as asked for."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.volumes import largest, reference_windows
from .shared.windows import adaptive_ranges, check_image, output_sizes


class AdaptiveMaxPool3d(Op):
    """The largest of x[n, c, floor(i D / DO) : ceil((i + 1) D / DO), ...] for each (i, j, k) of `output_size` = (DO, HO, WO).

    One int stands for all three sizes; None keeps the input's. `input` is (N, C, D, H, W) or (C, D, H, W). With `return_indices` the
    result is (y, indices), the int64 position of each maximum within its volume.
    """

    name = "adaptive_max_pool3d"
    autocast = ("float32", "")
    function = method = False
    functional = True
    composite = True
    group = "adaptive_max_pool2d"
    torch_name = "nn.functional.adaptive_max_pool3d"

    def forward(self, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        check_image("adaptive_max_pool3d", input, 3)
        out = output_sizes("adaptive_max_pool3d", output_size, input.array.shape[-3:])
        return largest(input, lambda x: fn.adaptive_max_pool2d(x, out[1:], return_indices),
                       lambda x: fn.adaptive_max_pool2d(x, (out[0], None), return_indices), return_indices)

    def reference(self, x: Any, output_size: Any, return_indices: bool = False) -> Any:
        out = output_sizes("", output_size, x.shape[-3:])
        ranges = [[list(range(a, b)) for a, b in zip(*adaptive_ranges(n, o), strict=True)] for n, o in zip(x.shape[-3:], out, strict=True)]
        y, at = reference_windows(x, ranges)
        return (y, at) if return_indices else y

    def cases(self) -> Iterable[Case]:
        def x(*shape: int) -> T:
            return T(*shape, distinct=True)

        yield from (Case(x(2, 3, 4, 3, 5), 1), Case(x(1, 2, 5, 4, 3), [3, 2, 2], return_indices=True), Case(x(2, 3, 4, 5), [None, 3, 7]))
        yield Case(x(0, 3, 4, 4, 4), 2)
        yield Case(T(2, 3), 2, error=(RuntimeError, "adaptive_max_pool3d: input must have 4 or 5 dims"))
        yield Case(T(1, 1, 4, 4, 4), [1, 2], error=(RuntimeError, "adaptive_max_pool3d: output_size must be one int or 3"))
