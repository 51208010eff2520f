"""What every schedule does: count steps, set the groups' learning rates, store itself."""
from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from ..optimizer import Optimizer

Rate = Any  # a float, or a Tensor of one element where a group's "lr" is one


class LRScheduler:
    """Base of the schedules. A subclass gives `get_lr()`: the learning rates for step `last_epoch`, one for each group.

    Rates are worked out from the groups' present ones where the formula allows it, so that several schedules can be combined.
    `last_epoch` other than -1 continues a schedule on an optimizer whose groups hold their "initial_lr". Where a group's "lr" is a Tensor
    it stays that Tensor and is filled.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", unshared(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"{type(self).__name__}: to continue at last_epoch={last_epoch}, group {i} needs 'initial_lr'")
        self.optimizer = optimizer
        self.base_lrs = [unshared(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[Rate]:
        """The learning rate of each group at step `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def get_last_lr(self) -> list[Rate]:
        """The learning rates last set."""
        return self._last_lr

    def step(self) -> None:
        """Go one step on and set the learning rates."""
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def restart(self) -> None:
        """Back to step 0 of the schedule, from the rates it was made with."""
        self.last_epoch = 0
        self._set(self.base_lrs)
        self._set(self.get_lr())

    def _set(self, rates: list[Rate]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, lr)
        self._last_lr = rates_of(self.optimizer)

    def _scaled(self, factor: float) -> list[Rate]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; the optimizer's own state holds the present rates."""
        self.__dict__.update(state_dict)


_LRScheduler = LRScheduler  # its name before PyTorch 2.0


def check_optimizer(scheduler: LRScheduler, optimizer: Any) -> None:
    """TypeError unless it is an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__}: expected an Optimizer, got a {type(optimizer).__name__}")


def unshared(lr: Rate) -> Rate:
    """The rate as it is now: a Tensor will be filled with others."""
    return lr.detach().clone() if isinstance(lr, Tensor) else lr


def set_rate(group: dict[str, Any], lr: Rate) -> None:
    """Set a group's learning rate, in place where it is a Tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(lr))
    else:
        group["lr"] = float(lr) if isinstance(lr, Tensor) else lr


def rates_of(optimizer: Optimizer) -> list[Rate]:
    """The learning rates of all groups."""
    return [unshared(group["lr"]) for group in optimizer.param_groups]


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Set a group's momentum, which of Adam and its kin is the first of the betas."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def for_each_group(scheduler: str, groups: list, name: str, value: Any) -> list[Any]:
    """One value for each group: those of a list, or the same one; ValueError where a list has another length."""
    values = list(value) if isinstance(value, (list, tuple)) else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"{scheduler}: {len(values)} values of {name} for {len(groups)} parameter groups")
    return values
