"""sgd_step: one step of stochastic gradient descent on one parameter."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..graph import Node
from ..op import Op, rung
from ..tensor import Tensor


class FusedStep(Op):
    """What optimizer steps share: parameter and state are overwritten by one kernel call."""

    function = method = False
    mutates = True
    differentiable = False
    defaults = ("cpu/fused", "cpu/numpy")
    torch_name = ""

    def run(self, param: Tensor, grad: Tensor, state: tuple[Tensor | None, ...], *numbers: float) -> None:
        """The kernel on contiguous arrays; strided ones are copied in and back."""
        p, g = param.array, grad.array
        if g.shape != p.shape or g.dtype != p.dtype:
            raise RuntimeError(f"{self.name}: the gradient is {grad.dtype.name} of shape {tuple(g.shape)}, the parameter "
                               f"{param.dtype.name} of shape {tuple(p.shape)}")
        for s in state:
            if s is not None and (s.array.shape != p.shape or s.array.dtype != p.dtype):
                raise RuntimeError(f"{self.name}: the state is {s.dtype.name} of shape {tuple(s.shape)}, the parameter "
                                   f"{param.dtype.name} of shape {tuple(p.shape)}; make a new optimizer "
                                   "after a parameter has changed its shape or dtype")
        xp = param.device.backend.xp
        written = [p, *[None if s is None else s.array for s in state]]
        packed = [None if a is None else xp.ascontiguousarray(a) for a in written]
        self.kernel(param.device, p)(packed[0], xp.ascontiguousarray(g), *packed[1:], *numbers)
        for a, c in zip(written, packed, strict=True):
            if c is not a and c is not None:
                a[...] = c.reshape(a.shape)

    def sample(self, states: int, *numbers: float) -> Iterable[Case]:
        """The shapes every step is tried on, with `states` non-negative state arrays."""
        for shape in ((0,), (), (7,), (3, 5), (2, 3, 37)):
            yield Case(T(*shape, grad=False), T(*shape, grad=False), *[T(*shape, low=0.5, grad=False) for _ in range(states)], *numbers)


class SgdStep(FusedStep):
    """buf = momentum buf + (1 - dampening) g (buf = g at `first`); p -= lr buf, with Nesterov p -= lr (g + momentum buf).

    g is the gradient, negated where `maximize`, plus weight_decay * p. Without a buffer p -= lr g.
    """

    name = "sgd_step"

    def forward(self, ctx: Node, input: Tensor, grad: Tensor, momentum_buffer: Tensor | None, lr: float, momentum: float = 0.0,
                dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False, maximize: bool = False,
                first: bool = False) -> None:
        self.run(input, grad, (momentum_buffer,), lr, momentum, dampening, weight_decay, int(nesterov), int(maximize), int(first))

    @rung("cpu/numpy", writes=(0, 2))
    def in_numpy(self, p: Any, g: Any, buf: Any, lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: int,
                 maximize: int, first: int) -> None:
        g = (-g if maximize else g) + weight_decay * p
        if buf is not None:
            buf[...] = g if first else momentum * buf + (1 - dampening) * g
            g = g + momentum * buf if nesterov else buf
        p -= lr * g

    def reference(self, p: Any, g: Any, buf: Any, lr: float, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
                  nesterov: bool = False, maximize: bool = False, first: bool = False) -> Any:
        g = (-g if maximize else g) + weight_decay * p
        if buf is None:
            return p - lr * g
        buf = g if first else momentum * buf + (1 - dampening) * g
        return p - lr * (g + momentum * buf if nesterov else buf)

    def cases(self) -> Iterable[Case]:
        yield from self.sample(1, 0.1, 0.9, 0.3, 0.05, False, True)
        yield from self.sample(1, 0.1, 0.9, 0.0, 0.05, True, False)
        yield from self.sample(1, 0.1, 0.9, 0.5, 0.0, False, False, True)
        yield Case(T(3, 5, grad=False), T(3, 5, grad=False), None, 0.1, 0.0, 0.0, 0.01)
        yield Case(T(3, grad=False), T(4, grad=False), None, 0.1, error=(RuntimeError, "sgd_step: the gradient is float32 of shape (4,)"))
