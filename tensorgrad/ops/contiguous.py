"""contiguous: the elements in row-major order without gaps."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T, unary_shapes
from ..memory_format import channels_last, contiguous_format, lies, preserve_format
from ..op import Op, fn
from ..tensor import Tensor


class Contiguous(Op):
    """The tensor itself where its memory is in row-major order, or in that of `memory_format`, else a copy that is."""

    name = "contiguous"
    function = False
    composite = True

    def forward(self, input: Tensor, memory_format: Any = contiguous_format) -> Tensor:
        if memory_format is not contiguous_format:
            if memory_format is preserve_format:
                raise RuntimeError("contiguous: preserve_format is no order to bring the elements into")
            return input if lies("contiguous", input, memory_format) else fn.clone(input, memory_format=memory_format)
        return input if input.array.flags.c_contiguous else fn.clone(input)

    def reference(self, x: Any, memory_format: Any = None) -> Any:
        return x

    def cases(self) -> Iterable[Case]:
        yield from unary_shapes()
        yield Case(T(2, 3, 4, 5), memory_format=channels_last, torch=False)  # PyTorch has its own object of that name
        yield Case(T(2, 3), memory_format=channels_last, torch=False,
                   error=(RuntimeError, "contiguous: channels_last is for 4 dimensions, the tensor has shape (2, 3)"))
