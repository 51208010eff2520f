"""An optimizer's step inside a graph: a replay launches what was captured, with the numbers of its own day.

The numbers of a step (learning rate, step count, momentum, ...) are the host's. Its kernels find them in memory that the graph keeps, and
each replay begins with a kernel that puts there what `update` says now. So a replay counts as a step, and a schedule takes effect.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops.shared.stepping import HELD, held_at
from ..tensor import Tensor

if TYPE_CHECKING:
    from .optimizer import Optimizer


class CapturedStep:
    """The step of some parameters of a group: captured when it is made, renewed before each replay."""

    def __init__(self, optimizer: Optimizer, params: list[Tensor], group: dict[str, Any]):
        self.optimizer, self.params, self.group = optimizer, params, group
        self.calls: list[tuple[Any, list[Any]]] = []  # of each call of an op: where its numbers lie, the arrays it changes
        self.renewed: int | None = None  # how many of the calls, while they are renewed
        self.backend = params[0].device.backend
        optimizer.updating(params, group, self)
        if not self.calls:
            raise RuntimeError(f"{type(optimizer).__name__}.step cannot be captured in a graph: its numbers are the host's, and would be "
                               "those of the first step for ever; step after each replay")
        self.backend.before_replays(self.renew)

    def renew(self) -> None:
        """Count a step, and put its numbers where the captured calls find them."""
        if all(group is not self.group for group in self.optimizer.param_groups):
            raise self.changed()
        self.renewed = 0
        try:
            self.optimizer.updating(self.params, self.group, self)
            if self.renewed != len(self.calls):
                raise self.changed()
        finally:
            self.renewed = None

    def call(self, step: Callable[..., Any], lists: list[Any], numbers: tuple) -> None:
        """What a step's call of an op becomes. `lists`: parameters, gradients, masters, states."""
        changed = [t.array for column in (lists[0], *lists[2:]) if column is not None for t in column]
        if self.renewed is None:
            self.calls.append((self.backend.for_replays(HELD, "uint8"), changed))
            with held_at(self.backend.address(self.calls[-1][0])):
                invoke(step, lists, numbers)
            return
        if self.renewed == len(self.calls):
            raise self.changed()
        memory, before = self.calls[self.renewed]
        self.renewed += 1
        if len(before) != len(changed) or any(a is not b for a, b in zip(before, changed, strict=True)):
            raise self.changed()
        one = [None if column is None else column[:1] for column in lists]
        with held_at(self.backend.address(memory), writing=True):
            invoke(step, [one[0], one[0], *one[2:]], numbers)  # nothing is stepped: any tensor can stand for the gradient

    def changed(self) -> RuntimeError:
        """The error of a replay that no longer has the optimizer it was captured with."""
        return RuntimeError(f"{type(self.optimizer).__name__}.step: since its graph was captured the optimizer has been given other "
                            "parameters or another state (load_state_dict makes one); capture the graph again")


class Rehearsal:
    """Calls on one element each, of the same types: kernels are loaded before a graph is captured, and nothing changes."""

    renewed = None

    def call(self, step: Callable[..., Any], lists: list[Any], numbers: tuple) -> None:
        invoke(step, [None if column is None else [column[0].new_zeros(1)] for column in lists], numbers)


def invoke(step: Callable[..., Any], lists: list[Any], numbers: tuple) -> None:
    """Call the op of a step with lists of parameters, gradients, masters and states."""
    step(*lists[:2], *lists[3:], *numbers, master=lists[2])
