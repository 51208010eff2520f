"""What the steps of optimizers share: parameters, gradients and state come as lists, and one call of a kernel updates them all."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...cases import Case, T
from ...op import Op
from ...tensor import Tensor

States = Sequence[Tensor] | None


def in_order(xp: Any, a: Any) -> Any:
    """The array, or a contiguous copy of it; `ascontiguousarray` would give a scalar a dimension."""
    return a if a.flags.c_contiguous else xp.ascontiguousarray(a)


@contextmanager
def contiguous(xp: Any, *lists: States) -> Iterator[list[Any]]:
    """The arrays of lists of tensors, to be overwritten: copies of strided ones, which are copied back."""
    written = [None if tensors is None else [t.array for t in tensors] for tensors in lists]
    packed = [None if arrays is None else [in_order(xp, a) for a in arrays] for arrays in written]
    yield packed
    for arrays, copies in zip(written, packed, strict=True):
        for a, c in zip(arrays or (), copies or (), strict=True):
            if c is not a:
                a[...] = c


HELD = 256  # bytes that the numbers of a step have room in


class _Held(threading.local):
    address = 0  # where the kernel finds the numbers of the step, in a graph
    writing = False  # the call puts them there, and steps nothing
    backend: Any = None  # of the call's device


_held = _Held()


@contextmanager
def held_at(address: int, writing: bool = False) -> Iterator[None]:
    """In a `with` block the kernels of steps find their numbers at an address when they run, or put there those they are called with."""
    _held.address, _held.writing = address, writing
    try:
        yield
    finally:
        _held.address, _held.writing = 0, False


def arrays_of(device: Any) -> Any:
    """The array module of the device of a call, which `put` then puts tables on."""
    _held.backend = device.backend
    return device.backend.xp


def told_to_put(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel of many arrays: Triton's are told how to `put` a table."""
    return (lambda *args: call(*args, put)) if path.startswith("triton/") else call


def put(table: Any) -> Any:
    """An array of the host's on the device of the call, in the stream's order; a graph, which cannot copy from the host, keeps it."""
    backend = _held.backend
    return backend.constant(table) if backend.capturing() else backend.xp.asarray(table)


class FusedStep(Op):
    """Base of the steps: `input` and the state are overwritten.

    All parameters are of one dtype, gradients too. With `master`, float32 copies of half-precision parameters, the step is that of the
    masters, whose state is float32, and a parameter becomes its master rounded.
    """

    function = method = False
    mutates = True
    differentiable = False
    defaults = ("cuda/v01_multi_tensor", "cpu/fused", "cpu/numpy")
    torch_name = ""
    arithmetic = 1  # operations for an element, about

    def run(self, params: Sequence[Tensor], grads: Sequence[Tensor], master: States, states: tuple[States, ...], *numbers: float) -> None:
        """The kernel on contiguous arrays; strided ones are copied in and back."""
        if not params:
            return
        device, kind, written = params[0].device, params[0].array.dtype, [p.array for p in params]
        run, xp = self.kernel(device, written[0]), arrays_of(device)
        rest, shapes = [None if ts is None else [t.array for t in ts] for ts in (grads, *states)], [a.shape for a in written]
        there = [arrays for arrays in rest if arrays is not None]
        if (master is None and not _held.writing and False not in [p.device is device for p in params]
                and False not in [[a.shape for a in arrays] == shapes for arrays in there]
                and False not in [a.dtype is kind and a.flags.c_contiguous for arrays in (written, *there) for a in arrays]):
            run(written, None, *rest, *numbers)  # what nearly every step is
            return
        for i, p in enumerate(params):
            self.check(p, grads[i], params[0], None if master is None else master[i], [s[i] for s in states if s is not None])
        g = None if _held.writing else [in_order(xp, t.array) for t in grads]
        with contiguous(xp, params, master, *states) as (p, m, *s):
            run(p, m, g, *s, *numbers)

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        """Compiled kernels are told where the numbers lie, 0 where they are those of the call; Triton's also how to `put` a table."""
        if path.startswith("triton/"):
            return lambda *args: call(*args, _held.address, put)
        return lambda *args: call(*args, _held.address)

    def check(self, p: Tensor, g: Tensor, first: Tensor, master: Tensor | None, states: list[Tensor]) -> None:
        """Refuse what a kernel would read beyond."""
        shape, kind = p.array.shape, p.array.dtype
        if g.array.shape != shape or g.array.dtype != kind:
            raise RuntimeError(f"{self.name}: the gradient is {g.dtype.name} of shape {tuple(g.shape)}, the parameter "
                               f"{p.dtype.name} of shape {tuple(p.shape)}")
        if kind != first.array.dtype or p.device is not first.device:
            raise RuntimeError(f"{self.name}: parameters of one call must be alike, but there are {first.dtype.name} on {first.device} and "
                               f"{p.dtype.name} on {p.device}")
        for s in states if master is None else [master, *states]:
            if s.array.shape != shape or s.array.dtype != (kind if master is None else "float32"):
                raise RuntimeError(f"{self.name}: the state is {s.dtype.name} of shape {tuple(s.shape)}, the parameter "
                                   f"{p.dtype.name} of shape {tuple(p.shape)}; make a new optimizer "
                                   "after a parameter has changed its shape or dtype")

    @staticmethod
    def each(params: list[Any], master: list[Any] | None, grads: list[Any], *states: list[Any] | None) -> Iterator[list[Any]]:
        """[parameter or master, gradient, its states] of each; what was done to a master reaches its parameter."""
        for i, p in enumerate(params):
            x = p if master is None else master[i]
            yield [x, grads[i], *[None if s is None else s[i] for s in states]]
            if master is not None:
                p[...] = x

    def sample(self, states: int, *numbers: float) -> Iterable[Case]:
        """The shapes every step is tried on, with `states` non-negative state arrays for each parameter."""
        def make(**spec: Any) -> list[T]:
            return [T(*shape, grad=False, **spec) for shape in ((0,), (), (7,), (3, 5), (2, 3, 37), (4099,))]

        yield Case(make(), make(), *[make(low=0.5) for _ in range(states)], *numbers)
        yield Case([T(0, grad=False)], [T(0, grad=False)], *[[T(0, grad=False)] for _ in range(states)], *numbers)

    def cost(self, input: Any, grad: Any, *rest: Any, **options: Any) -> tuple[float, float]:
        """A gradient is read, everything else read and written."""
        lists = [a for a in (*rest, *options.values()) if isinstance(a, (list, tuple))]
        count = sum(t.array.size for t in input)
        state = sum(t.array.nbytes for ts in lists for t in ts)
        return float(self.arithmetic * count), float(sum(3 * t.array.nbytes for t in input) + 2 * state)
