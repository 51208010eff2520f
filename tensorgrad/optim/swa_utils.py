"""Averages of a model's parameters on its way: equally weighted (SWA) or exponentially (EMA)."""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from .. import creation, dtypes
from ..grad_mode import no_grad
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.module import Module
from ..tensor import Tensor
from .lr_scheduler.scheduler import LRScheduler, Rate, check_optimizer, for_each_group
from .optimizer import Optimizer, check_number

Average = Callable[[Tensor, Tensor, Tensor | int], Tensor]
Averages = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """f(average, value, count) = decay * average + (1 - decay) * value, for `AveragedModel(avg_fn=...)`."""
    check_number("get_ema_avg_fn", "decay", decay, "at most 1")

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Tensor | int) -> Tensor:
        return ema_param * decay + current_param * (1 - decay)

    return ema_update


def get_swa_avg_fn() -> Average:
    """f(average, value, count) = average + (value - average) / (count + 1): the mean of all values so far."""

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Tensor | int) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """f(averages, values, count), which overwrites each average with decay * average + (1 - decay) * value."""
    check_number("get_ema_multi_avg_fn", "decay", decay, "at most 1")

    @no_grad()
    def ema_update(ema_param_list: Sequence[Tensor], current_param_list: Sequence[Tensor], _: Tensor | int) -> None:
        _move(ema_param_list, current_param_list, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn() -> Averages:
    """f(averages, values, count), which overwrites each average with the mean of all values so far."""

    @no_grad()
    def swa_update(averaged_param_list: Sequence[Tensor], current_param_list: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        _move(averaged_param_list, current_param_list, 1 / (int(num_averaged) + 1))

    return swa_update


def _move(averages: Sequence[Tensor], values: Sequence[Tensor], part: float) -> None:
    """Each average a part of the way to its value."""
    for average, value in zip(averages, values, strict=True):
        if average.is_floating_point():
            average.lerp_(value, part)
        else:
            average.copy_(average * (1 - part) + value * part)


class AveragedModel(Module):
    """A copy of a model, as `.module`, whose parameters are averages of the model's at each `update_parameters(model)`.

    The first update copies. Later ones call `multi_avg_fn(averages, values, n_averaged)`, which overwrites the averages, or
    `avg_fn(average, value, n_averaged)`, which returns the new one; without either it is the mean of all so far. Buffers are copied, or
    averaged too with `use_buffers`. For batch norm run `update_bn(loader, averaged_model)` before use.
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
    """

    n_averaged: Tensor

    def __init__(self, model: Module, device: Any = None, avg_fn: Average | None = None, multi_avg_fn: Averages | None = None,
                 use_buffers: bool = False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = deepcopy(model) if device is None else deepcopy(model).to(device)
        self.register_buffer("n_averaged", creation.tensor(0, dtype=dtypes.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the average."""
        count = int(self.n_averaged)
        averages, values = (list(itertools.chain(m.parameters(), m.buffers() if self.use_buffers else ())) for m in (self.module, model))
        if len(averages) != len(values):
            raise ValueError(f"update_parameters: the model has {len(values)} parameters, its average {len(averages)}")
        averages = [p.detach() for p in averages]
        values = [p.detach().to(average.device) for average, p in zip(averages, values, strict=True)]
        if count == 0:
            _copy(averages, values)
        elif self.avg_fn is not None:
            _copy(averages, [self.avg_fn(average, value, self.n_averaged.to(average.device))
                             for average, value in zip(averages, values, strict=True)])
        else:
            groups: dict[tuple, tuple[list[Tensor], list[Tensor]]] = {}
            for average, value in zip(averages, values, strict=True):
                for several, one in zip(groups.setdefault((average.device, average.dtype), ([], [])), (average, value), strict=True):
                    several.append(one)
            for (device, _), (some, their_values) in groups.items():
                (self.multi_avg_fn or get_swa_multi_avg_fn())(some, their_values, self.n_averaged.to(device))
        if not self.use_buffers:
            _copy(self.module.buffers(), model.buffers())
        self.n_averaged += 1


def _copy(to: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for t, value in zip(to, values, strict=True):
        t.copy_(value)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Work out the running statistics of all batch norms anew, over the batches of a loader, as the plain mean over them.

    A batch that is a tuple or list is its first item. The model is in training mode meanwhile; without batch norms nothing is done.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta, training = [norm.momentum for norm in norms], model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """lr goes from what it is to `swa_lr` in `anneal_epochs` steps, along a cosine or a line, and stays there."""

    def __init__(self, optimizer: Optimizer, swa_lr: float | Sequence[float], anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1):
        check_optimizer(self, optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs must be an int of at least 0, got {anneal_epochs}")
        for group, lr in zip(optimizer.param_groups, for_each_group("SWALR", optimizer.param_groups, "swa_lr", swa_lr), strict=True):
            group["swa_lr"] = lr
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Rate]:
        step = self._step_count - 1 if self.anneal_epochs else max(1, self._step_count - 1)
        part, before = self._part(step), self._part(step - 1)
        return [group["swa_lr"] if before == 1 else  # else the rate it started from, found from the present one
                group["swa_lr"] * part + (group["lr"] - before * group["swa_lr"]) / (1 - before) * (1 - part)
                for group in self.optimizer.param_groups]
