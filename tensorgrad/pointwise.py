"""Element-wise operations: an op gives its formula on arrays and `backward`; the rest is here.

The formula is `ufunc`, the name of an array-module function, or a method `compute(xp, ...)`; it is the op's kernel `cpu/numpy`.
Compiled rungs (they write into an array they are given, and read any strides) take part in dispatch like any other kernel.
Half precision is computed in float32 and rounded once per op.
"""
from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from . import backends, dispatch, dtypes
from .arguments import is_number
from .cases import Case, T, binary_shapes, unary_shapes
from .cuda.streams import capturing
from .dispatch import Kernel
from .graph import Node
from .op import Op, Operand, fn
from .second_order import gradients_of
from .tensor import Tensor, wrap

ALL_TYPES = " ".join(d.name for d in dtypes.ALL)
_FLOAT_KINDS = frozenset(d.np for d in dtypes.FLOATS)


class Pointwise(Op):
    """An element-wise op with a NumPy kernel made from `ufunc` or `compute`."""

    ufunc = ""  # e.g. "exp": the whole formula is one function of the array module
    numpy_types = ALL_TYPES
    defaults = ("cpu/simd", "cpu/numpy")
    rounds = True  # False: it only moves bits, which half precision need not be widened for
    result: Any = None  # the dtype of the result where it is not that of the operands
    warns = True  # NumPy may warn about what this op computes (overflow, 0/0): infinity and NaN are answers here

    def compute(self, xp: Any, *arrays: Any) -> Any:
        """The formula on arrays of module `xp`, where `ufunc` is not enough."""
        raise NotImplementedError

    def python_kernels(self, device: str) -> Iterator[Kernel]:
        """The formula, on the array module of the device's storage: `cpu/numpy`, `cupy/numpy`; besides those marked as rungs."""
        backend = backends.load(device)
        family = getattr(backend, "arrays", None)
        if family and (self.ufunc or type(self).compute is not Pointwise.compute):
            call = getattr(backend.xp, self.ufunc) if self.ufunc else functools.partial(self.compute, backend.xp)
            yield Kernel(self.name, f"{family}/numpy", device, frozenset(self.numpy_types.split()), self.source, call, ())
        yield from super().python_kernels(device)

    def kernel(self, device: Any, array: Any) -> Callable[..., Any]:
        """A callable that takes the input arrays, then numbers, and returns the result array."""
        picked = self.picked.get((device, array.dtype))
        if picked is None:
            d = dtypes.BY_NUMPY[array.dtype]
            kernel = dispatch.choose(self, device, d.name)
            if kernel.writes:
                picked = functools.partial(_into_new, device.backend.xp, kernel.for_dtype(d.name), self.result or d.np)
                if d.name in kernel.dtypes and not kernel.source.endswith(".py"):  # nothing of NumPy's, which might warn
                    self.picked[device, array.dtype] = picked
                    return picked
            elif d.name in dispatch.HALF and kernel.family in dispatch.IN_FLOAT32 and (self.rounds or kernel.family == "cupy"):
                picked = functools.partial(_in_float32, kernel.call, d.np)
            else:
                picked = kernel.call
            picked = self.picked[device, array.dtype] = functools.partial(_quietly, picked)
        return picked


class _Quiet(threading.local):
    """`QUIET.run(formula, ...)`: NumPy does not warn in it. Infinity and NaN are answers.

    A context of its own per thread: entering it costs a tenth of `np.errstate`, which would double the time of a small operation.
    """

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


QUIET = _Quiet()


def _quietly(formula: Callable[..., Any], *args: Any) -> Any:
    return QUIET.run(formula, *args)


def _in_float32(formula: Callable[..., Any], half: np.dtype, *args: Any) -> Any:
    """Run a NumPy formula on half-precision arrays by way of float32."""
    y = formula(*[a.astype(np.float32) if hasattr(a, "astype") and a.dtype == half else a for a in args])
    return y.astype(half) if y.dtype == np.float32 else y


def _into_new(xp: Any, run: Callable[..., Any], kind: np.dtype, x: Any, *rest: Any) -> Any:
    """Run a kernel that writes, on a new array of the broadcast shape, which lies as the first operand does where that has no gaps."""
    shape = x.shape
    if not x.flags.c_contiguous and all(a.shape == shape for a in rest if a.__class__ is x.__class__ and a.shape):
        order = sorted(range(x.ndim), key=lambda i: -x.strides[i])
        if (turned := x.transpose(order)).flags.c_contiguous:
            out = xp.empty(turned.shape, kind)
            run(out, turned, *[a.transpose(order) if a.__class__ is x.__class__ and a.shape else a for a in rest])
            return out.transpose(np.argsort(order).tolist())
    for a in rest:
        if a.__class__ is x.__class__ and a.shape != shape and a.shape:
            shape = np.broadcast_shapes(shape, a.shape) if shape else a.shape
    out = xp.empty(shape, kind)
    run(out, x, *rest)
    return out


class Unary(Pointwise):
    """y = f(x). Integers become floats first where `float_only`, as in PyTorch."""

    float_only = True
    saves = "input"  # what backward needs: "input", "output" or ""
    inplace = True
    domain: dict[str, Any] = {}  # keyword arguments of T for the sample inputs

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        x = input.array
        if self.float_only and x.dtype not in _FLOAT_KINDS:
            x = x.astype(dtypes.get_default_dtype().np)
        device = input.device
        out = wrap((self.picked.get((device, x.dtype)) or self.kernel(device, x))(x), device)
        if ctx.edges is not None and self.saves:
            ctx.save(input if self.saves == "input" else out)
        return out

    def apply(self, ctx: Node, input: Tensor, *numbers: float) -> Tensor:
        """`forward` for ops whose kernel takes numbers too."""
        x = input.array
        if self.float_only and x.dtype not in _FLOAT_KINDS:
            x = x.astype(dtypes.get_default_dtype().np)
        out = wrap(self.kernel(input.device, x)(x, *numbers), input.device)
        if self.saves:
            ctx.save(input if self.saves == "input" else out)
        return out

    def cases(self) -> Iterable[Case]:
        return unary_shapes(**self.domain) + special_cases()


class Rounding(Unary):
    """y = x rounded somehow: integers stay as they are, and the gradient is zero."""

    float_only = False
    saves = ""

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        if input.array.dtype not in _FLOAT_KINDS:
            return wrap(input.array.copy(), input.device)
        return super().forward(ctx, input)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return g.new_zeros(g.shape)

    def cases(self) -> Iterable[Case]:
        return [*super().cases(), Case(T(4, dtype="int64", low=-5, high=5))]


class Activation(Unary):
    """y = f(x), functional; its gradient is the op `<name>_backward`, an `ActivationBackward`."""

    functional = True
    function = method = False
    numbers: tuple[float, ...] = ()

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        (x,) = ctx.saved
        return getattr(fn, self.name + "_backward")(g, x, *ctx.numbers)

    def apply(self, ctx: Node, input: Tensor, *numbers: float) -> Tensor:
        if not input.dtype.is_floating_point:
            raise RuntimeError(f"{self.name}: needs a floating tensor, got {input.dtype.name}; convert with .float()")
        ctx.numbers = numbers
        return super().apply(ctx, input, *numbers)

    def forward(self, ctx: Node, input: Tensor) -> Tensor:
        return self.apply(ctx, input)

    def cases(self) -> Iterable[Case]:
        yield from super().cases()
        yield Case(T(3, dtype="int64"), error=(RuntimeError, f"{self.name}: needs a floating tensor, got int64"))


class Piecewise(Activation):
    """An activation made of straight pieces: `backward` selects, and its second derivative is that of a selection."""

    domain = {"distinct": True, "low": -5.0, "high": 5.3}


class ActivationBackward(Pointwise):
    """gx = g f'(x) in one pass; `slope` is f' in ops, from which its own derivative is made."""

    function = method = False
    sample: tuple[float, ...] = ()  # numbers for the sample calls

    def slope(self, x: Tensor, *numbers: Any) -> Tensor:
        """f'(x) in ops."""
        raise NotImplementedError

    def forward(self, ctx: Node, g: Tensor, x: Tensor, *numbers: Any) -> Tensor:
        ctx.numbers = numbers
        ctx.save(g, x)
        return wrap(self.kernel(g.device, x.array)(g.array, x.array, *numbers), g.device)

    def backward(self, ctx: Node, gg: Tensor) -> tuple:
        return gradients_of(lambda g, x: (g * self.slope(x, *ctx.numbers),), ctx.saved, (gg,), ctx.needs)

    def reference(self, g: Any, x: Any, *numbers: Any) -> Any:
        return g * self.slope(wrap(np.asarray(x, np.float64)), *numbers).array

    def cases(self) -> Iterable[Case]:
        for shape in ((0,), (), (7,), (3, 5)):
            yield Case(T(*shape), T(*shape, distinct=True, high=2.3), *self.sample)
        yield Case(T(41), T(41, low=-30, high=30), *self.sample)


class Binary(Pointwise):
    """z = f(x, y) with broadcasting and promotion; either may be a number."""

    inplace = True
    domain: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    torch_number_first = True  # whether PyTorch's function takes a number as its first argument
    floats = False  # integers are made floats first (division)

    def forward(self, ctx: Node, input: Operand, other: Operand) -> Tensor:
        x, y, device = operands(self, input, other)
        like = x if isinstance(input, Tensor) else y  # the other one may be a number, which half precision meets in float32
        if self.floats and like.dtype not in _FLOAT_KINDS:
            x, y = x.astype(dtypes.get_default_dtype().np), y.astype(dtypes.get_default_dtype().np)
            like = x
        out = wrap((self.picked.get((device, like.dtype)) or self.kernel(device, like))(x, y), device)
        if ctx.edges is not None:
            self.keep(ctx, input, other, out)
        return out

    def keep(self, ctx: Node, input: Operand, other: Operand, out: Tensor) -> None:
        """Save what backward needs: here both operands, for `both`."""
        keep_shapes(ctx, input, other)
        a, b = isinstance(input, Tensor), isinstance(other, Tensor)
        ctx.save(input if a else None, other if b else None)
        if not (a and b):
            ctx.number = other if a else input

    def both(self, ctx: Node) -> tuple[Any, Any]:
        """The operands that `keep` saved, numbers included."""
        x, y = ctx.saved
        return (ctx.number if x is None else x), (ctx.number if y is None else y)

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes(*self.domain)
        yield Case(self._sample(0), 1.5)
        yield Case(1.5, self._sample(1), torch=self.torch_number_first)

    def _sample(self, i: int) -> Any:
        return T(3, 2, **self.domain[i])


class Comparison(Binary):
    """z = (x ? y) as bools: nothing to differentiate."""

    torch_number_first = False
    differentiable = False
    result: Any = np.dtype(np.bool_)
    warns = False


class Integers(Comparison):
    """z = f(x, y) for integers and, where `bools`, bools: floating operands are refused."""

    bools = True
    result = None

    def forward(self, ctx: Node, input: Operand, other: Operand) -> Tensor:
        kind = dtypes.result_type(input, other)
        if kind.is_floating_point or (kind is dtypes.bool_ and not self.bools):
            raise RuntimeError(f"{self.name}: expected integers{' or bools' if self.bools else ''}, got {kind.name}")
        return super().forward(ctx, input, other)

    def cases(self) -> Iterable[Case]:
        yield from binary_shapes({"dtype": "int64", "low": -9, "high": 9}, {"dtype": "int64", "low": 0, "high": 9})
        yield Case(T(4, dtype="uint8", low=0, high=255), 3)
        if self.bools:
            yield Case(T(2, 3, dtype="bool"), T(3, dtype="bool"))
        yield Case(T(3), T(3), error=(RuntimeError, f"{self.name}: expected integers"))


def refuse_zero(xp: Any, op: str, divisor: Any) -> None:
    """RuntimeError when an integer divisor is zero somewhere."""
    if (isinstance(divisor, np.ndarray) or not capturing()) and not xp.all(divisor):  # a graph has no values yet
        raise RuntimeError(f"{op}: division of an integer by zero; convert to a floating dtype for infinities")


def special_cases(*more: float) -> list[Case]:
    """One call with the values where formulas go wrong: zeros of both signs, infinities, NaN, large and small ones."""
    values = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 60.0, -60.0, 1e-4, -1e-4]
    return [Case(T(values=[*values, *more], grad=False))]


def operands(op: Op, a: Operand, b: Operand) -> tuple[Any, Any, Any]:
    """(array, array, device) of two operands, brought to their common dtype; refuses mixed devices and shapes that clash."""
    if isinstance(a, Tensor):
        device, x = a.device, a.array
        if isinstance(b, Tensor):
            y = b.array
            if x.dtype is y.dtype and b.device is device and x.shape == y.shape:
                return x, y, device
            if b.device is not device:
                if y.ndim == 0 and b.device.type == "cpu":
                    y = device.backend.asarray(y)
                elif x.ndim == 0 and device.type == "cpu":
                    device, x = b.device, b.device.backend.asarray(x)
                else:
                    raise RuntimeError(f"{op.name}: input is on {a.device} but other is on {b.device}; move one with .to(...)")
            if x.dtype is not y.dtype and x.dtype != y.dtype:
                common = dtypes.result_type(a, b).np
                x, y = x.astype(common, copy=False), y.astype(common, copy=False)
            if x.shape != y.shape:
                check_broadcast(op.name, x.shape, y.shape)
            return x, y, device
        x, y = with_number(op, a, b)
        return x, y, device
    if isinstance(b, Tensor):
        y, x = with_number(op, b, a)
        return x, y, b.device
    raise TypeError(f"{op.name}: one operand must be a Tensor; got {type(a).__name__} and {type(b).__name__}")


def with_number(op: Op, t: Tensor, number: Any) -> tuple[Any, Any]:
    """The tensor's array and the number as an array of the same, promoted dtype."""
    x = t.array
    if type(number) is float and x.dtype in _FLOAT_KINDS:
        known = _constants.get((number, x.dtype, t.device))
        return x, known if known is not None else _constant(number, x.dtype, t.device)
    if not is_number(number):
        hint = "; tensorgrad.tensor(...) makes one" if isinstance(number, (np.ndarray, list)) else ""
        raise TypeError(f"{op.name}: expected a Tensor or a number, got {type(number).__name__}{hint}")
    common = dtypes.result_type(t, number).np
    if common != x.dtype:
        x = x.astype(common)
    return x, number_on(t.device, number, x.dtype)


def number_on(device: Any, number: Any, dtype: Any) -> Any:
    """A number as storage of a device, of a dtype (float32 for half precision, which meets numbers in it)."""
    if dtype in _FLOAT_KINDS:
        known = _constants.get((number, dtype, device))
        return known if known is not None else _constant(float(number), dtype, device)
    try:
        return device.backend.scalar(np.array(number, dtype))
    except OverflowError:  # integers wrap around, as in PyTorch
        return device.backend.scalar(np.array(number).astype(dtype))


_constants: dict[tuple[float, Any, Any], Any] = {}  # numbers met in expressions, as read-only arrays: a third of the cost of `x * 2.0`


def _constant(number: float, dtype: Any, device: Any) -> Any:
    with np.errstate(over="ignore"):  # beyond the dtype's range is infinity, as in PyTorch
        array = np.array(number, np.float32 if dtype.itemsize == 2 else dtype)  # half precision is computed in float32
    array.flags.writeable = False
    storage = device.backend.scalar(array)
    if number != 0 and len(_constants) < 1000 and not device.backend.capturing():  # 0.0 and -0.0 are one key
        _constants[number, dtype, device] = storage
    return storage


def check_broadcast(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """RuntimeError naming the dimension where two shapes clash."""
    for i in range(1, min(len(a), len(b)) + 1):
        if a[-i] != b[-i] and a[-i] != 1 and b[-i] != 1:
            raise RuntimeError(
                f"{op}: shapes {tuple(a)} and {tuple(b)} do not broadcast: dim {len(a) - i} of the first is {a[-i]} "
                f"but dim {len(b) - i} of the second is {b[-i]}"
            )


def keep_shapes(ctx: Node, input: Operand, other: Operand) -> None:
    """Note the operands' shapes as `ctx.shapes`, for `summed`; None for a number."""
    ctx.shapes = (
        input.array.shape if isinstance(input, Tensor) else None,
        other.array.shape if isinstance(other, Tensor) else None,
    )


def summed(g: Tensor, shape: tuple[int, ...] | None) -> Tensor | None:
    """A gradient summed back to the shape of the operand that was broadcast; None for a number."""
    if shape is None:
        return None
    return g if g.array.shape == shape else fn.sum_to_size(g, shape)
