"""max_pool1d: the largest value of each window of a line."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.windows import check_image, pooled_size, tuple_of


class MaxPool1d(Op):
    """y[n, c, i] = max over a of x[n, c, i stride - padding + a dilation], for `input` (N, C, L) or (C, L): max_pool2d on one row."""

    name = "max_pool1d"
    torch_name = "nn.functional.max_pool1d"
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
                return_indices: bool = False) -> Any:
        check_image("max_pool1d", input, 1)
        (kernel,) = tuple_of("max_pool1d", "kernel_size", kernel_size, 1, 1)
        (step,) = (kernel,) if stride is None or stride == [] else tuple_of("max_pool1d", "stride", stride, 1, 1)
        (pad,), (spread,) = tuple_of("max_pool1d", "padding", padding, 1, 0), tuple_of("max_pool1d", "dilation", dilation, 1, 1)
        pooled_size("max_pool1d", input.array.ndim - 1, input.array.shape[-1], kernel, step, pad, spread, bool(ceil_mode))
        row = fn.unsqueeze(input, -2)  # (N, C, 1, L)
        found = fn.max_pool2d(row, (1, kernel), (1, step), (0, pad), (1, spread), ceil_mode, return_indices)
        return tuple([fn.squeeze(t, -2) for t in found]) if return_indices else fn.squeeze(found, -2)

    def reference(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        options = {**dict(zip(names, args, strict=False)), **kwargs}
        kernel = tuple_of("", "", options["kernel_size"], 1, 1)[0]
        given: dict[str, Any] = {"stride": kernel if options.get("stride") is None else tuple_of("", "", options["stride"], 1, 1)[0]}
        for name, flat in (("padding", 0), ("dilation", 1)):
            given[name] = (flat, tuple_of("", "", options.get(name, flat), 1, 0)[0])
        found = fn.max_pool2d.op.reference(x[..., None, :], [1, kernel], [1, given["stride"]], given["padding"], given["dilation"],
                                           options.get("ceil_mode", False), options.get("return_indices", False))
        return tuple(a[..., 0, :] for a in found) if isinstance(found, tuple) else found[..., 0, :]

    def cases(self) -> Iterable[Case]:
        def x(*shape: int) -> T:
            return T(*shape, distinct=True)

        yield from (Case(x(2, 3, 8), 2), Case(x(3, 7), 3, 2, 1, return_indices=True), Case(x(1, 2, 37), [5], 2, 2, 2, True))
        yield Case(T(2, 3, 4), 5, error=(RuntimeError, "max_pool1d: a window of 5 (kernel 5, dilation 1) does not fit dim 2 of size 4"))
        yield Case(T(3), 2, error=(RuntimeError, "max_pool1d: input must have 2 or 3 dims"))
