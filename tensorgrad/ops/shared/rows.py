"""What softmax, log_softmax and the losses on rows share: rows along a dimension, the rungs that take them, calls and sample inputs."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...cases import Case, T
from ...dispatch import Kernel
from ...dtypes import dtype as DType
from ...graph import Node
from ...op import Op
from ...tensor import Tensor, check_dim, wrap


def sliced(shape: tuple[int, ...], dim: int) -> tuple[int, int, int]:
    """(outer, n, inner): the sizes before, at and after a dimension, multiplied up."""
    outer = inner = 1
    for s in shape[:dim]:
        outer *= s
    for s in shape[dim + 1:]:
        inner *= s
    return outer, (shape[dim] if shape else 1), inner


def floating_input(op: str, input: Tensor, dtype: DType | None) -> Any:
    """The array to work on, converted to `dtype` first where that is given; refuses integers."""
    x = input.array
    if dtype is not None:
        if not dtype.is_floating_point:
            raise RuntimeError(f"{op}: dtype must be a floating type, got {dtype.name}")
        return x.astype(dtype.np, copy=False)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{op}: input is {input.dtype.name}; pass dtype=tensorgrad.float32 to convert it first")
    return x


HELD = 32 * 1024  # bytes of a row, in the dtype it is computed in, that a block of cuda/v03_online keeps


def kind_of_row(x: Any, n: int, inner: int, inputs: int = 1) -> str:
    """What the choice of a rung depends on: "columns" where a row's elements are no neighbours, "long" beyond what a block holds."""
    return "columns" if inner > 1 else "long" if n * max(x.dtype.itemsize, 4) * inputs > HELD else "row"


class Rows(Op):
    """What the ops on rows share: which rungs they try."""

    defaults = ("cuda/v05_cluster", "cuda/v03_online", "cuda/v04_columns", "triton/v03_online", "triton/v04_columns",
                "cpu/rows", "cpu/numpy")

    def suits(self, kernel: Kernel, kind: str = "row") -> bool:
        """Neighbours in memory are a row's for one rung and a column's for another; a cluster is for rows that a block does not hold."""
        wanted = {"v05_cluster": kind == "long", "v03_online": kind != "columns", "v04_columns": kind == "columns"}
        return wanted.get(kernel.rung, True)

    def along(self, device: Any, y: Any, inputs: Sequence[Any], dim: int) -> None:
        """Run the kernel on contiguous arrays: y from the inputs, along a dimension."""
        outer, n, inner = sliced(y.shape, dim)
        kind = kind_of_row(y, n, inner, len(inputs))
        self.kernel(device, y, kind)(y, *map(device.backend.xp.ascontiguousarray, inputs), outer, n, inner)


class AlongDim(Rows):
    """What softmax and log_softmax share: the call of their kernels and the sample inputs."""

    functional = True

    def forward(self, ctx: Node, input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
        x = floating_input(self.name, input, dtype)
        if dim is None:
            raise TypeError(f"{self.name}: dim must be given: along which of the {x.ndim} dimensions do the values belong together?")
        d = ctx.dim = check_dim(self.name, dim, x.ndim)
        ctx.kind = input.dtype
        y = input.device.backend.xp.empty(x.shape, x.dtype)
        self.along(input.device, y, (x,), d)
        out = wrap(y, input.device)
        ctx.save(out)
        return out

    def cases(self) -> Iterable[Case]:
        for shape, dim in (((7,), 0), ((), 0), ((3, 5), -1), ((3, 5), 0), ((2, 3, 5), 1), ((4, 1), 1), ((0, 3), 1), ((3, 0), 1),
                           ((2, 0, 3), 0)):
            yield Case(T(*shape), dim)
        yield from (Case(T(3, 67), 1), Case(T(2, 5, 71), 1), Case(T(3, 37, low=-90, high=90), 1))
        inf = float("inf")
        yield Case(T(values=[[0.0, -inf, 1.0], [inf, 0.0, 1.0], [-inf, -inf, -inf], [float("nan"), 0.0, 1.0]], grad=False), 1)
        yield Case(T(values=[[0.0, -inf, 1.0], [inf, 0.0, 1.0]], grad=False), 0)
        yield Case(T(2, 3), 2, error=(IndexError, f"{self.name}: dim 2 is out of range"))
        yield Case(T(2, 3, dtype="int64"), 1, error=(RuntimeError, f"{self.name}: input is int64"))
        yield Case(T(2, 3), None, error=(TypeError, f"{self.name}: dim must be given"))


class AlongDimBackward(Rows):
    """The fused backward of either, an op in its own right."""

    function = method = False

    def forward(self, ctx: Node, grad: Tensor, output: Tensor, dim: int) -> Tensor:
        ctx.dim = dim
        dx = output.device.backend.xp.empty(output.array.shape, output.array.dtype)
        self.along(output.device, dx, (grad.array, output.array), dim)
        ctx.save(grad, output)
        return wrap(dx, output.device)

    def cases(self) -> Iterable[Case]:
        for shape, dim in (((3, 5), 1), ((3, 5), 0), ((2, 3, 35), 1), ((3, 37), 1), ((0, 3), 1)):
            yield Case(T(*shape), T(*shape, low=-2, high=0), dim)
