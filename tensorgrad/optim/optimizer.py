"""What every optimizer does: parameter groups, state, and storing both."""
from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from .. import autograd, dtypes
from ..device import CPU
from ..dispatch import HALF
from ..grad_mode import no_grad
from ..tensor import Tensor
from .captured import CapturedStep, Rehearsal, invoke

_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "not negative": (lambda v: v >= 0, "must not be negative"),
    "at most 1": (lambda v: 0 <= v <= 1, "must lie in [0, 1]"),
    "below 1": (lambda v: 0 <= v < 1, "must lie in [0, 1)"),
}


def check_number(optimizer: str, name: str, value: Any, rule: str = "not negative") -> None:
    """ValueError that names optimizer, hyperparameter and value when the value breaks the rule; NaN breaks each."""
    accept, words = _RANGES[rule]
    if name == "lr" and isinstance(value, Tensor) and value.array.ndim == 0:
        return  # its value may be another at each step
    if isinstance(value, Tensor) or not isinstance(value, (int, float)):
        raise TypeError(f"{optimizer}: {name} must be a number, got a {type(value).__name__}")
    if not accept(value):
        raise ValueError(f"{optimizer}: {name} {words}, got {value}")


class Optimizer:
    """Base of all optimizers.

    `params` are tensors, or dicts {"params": tensors, option: value, ...} that make groups with options of their own; `defaults`
    fill in the rest. A subclass writes `update(parameters, group)`, called with the parameters of a group that have gradients, and
    may check a group's options in `check(group)`.

    With `master_weights` the state of float16 and bfloat16 parameters is float32, and holds float32 copies of them too, under
    "master": a step is that of the copy, and the parameter is it rounded. Without, a step smaller than the gap between two neighbouring
    half-precision numbers is lost. The copy is made at the first step; load parameters before it, or the optimizer's state with them.
    Micikevicius et al., "Mixed precision training", ICLR 2018.

    `lr` may be a tensor without dimensions, which is read at each step. A step can be captured in a graph (`tg.cuda.graph`) once the
    state is there, after a step or `prepare()`: each replay is a step with the options and the step count of its own time. For that
    PyTorch's `capturable` need not be set.
    """

    own_shapes: tuple[str, ...] = ("step",)  # the state whose tensors have not the parameter's shape
    captured: Any = None  # what takes the place of an op's calls while a graph is captured or renewed, or a step rehearsed

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], master_weights: bool = False):
        if isinstance(params, Tensor):
            raise TypeError(f"{self._name}: params must be a list of tensors, not one tensor; pass [tensor] or model.parameters()")
        self.defaults, self.master_weights = defaults, master_weights
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name}: the list of parameters is empty (a generator such as model.parameters() works once)")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def check(self, group: dict[str, Any]) -> None:
        """Refuse wrong options of a group by name."""

    def _check_how(self, group: dict[str, Any]) -> None:
        """Refuse options of PyTorch's about how a step is computed that are not to be had here.

        Steps are always `fused`, one kernel for all parameters, or one each with foreach=False; and always `capturable` in graphs.
        """
        if group.get("differentiable"):
            raise NotImplementedError(f"{self._name}: differentiable=True is not supported: steps are not recorded; leave it out")
        if group.get("fused") and group.get("foreach"):
            raise RuntimeError(f"{self._name}: fused and foreach cannot both be True")

    def update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """One step of the parameters of a group whose gradients are there."""
        raise NotImplementedError(f"{self._name} has no update()")

    def run(self, step: Callable[..., Any], of: Callable[[Tensor, dict[str, Any]], tuple[tuple, tuple]], params: list[Tensor],
            make: Callable[[Tensor, dict[str, Any]], Any] | None = None) -> None:
        """`step` for all parameters: one call for those of a dtype and device with the same numbers.

        `of(parameter, its state)` gives the state tensors that the op takes, some of them None, and its numbers. `make(parameter, its
        state)` makes what state is not there yet; without it `of` does, and the first step cannot be one of a graph.
        """
        calls: dict[tuple, list[tuple]] = {}
        found = [self.state[p] for p in params]
        if make is not None:
            for p, state in zip(params, found, strict=True):
                make(p, state)
        elif isinstance(self.captured, Rehearsal):
            return
        counts = None if self.captured is None or self.captured.renewed is not None else self._counts(params)
        last, alike = None, []
        for p, state in zip(params, found, strict=True):
            states, numbers = of(p, state)
            kind = (p.device, p.array.dtype, [s is None for s in states], numbers)
            if kind != last:  # most have the kind of the one before
                last, alike = kind, calls.setdefault((*kind[:2], tuple(kind[2]), numbers), [])
            alike.append((p, p._grad, self._master(p) if self.master_weights else None, *states))
        for (*_, numbers), rows in calls.items():
            lists = [None if column[0] is None else list(column) for column in zip(*rows, strict=True)]
            (invoke if self.captured is None else self.captured.call)(step, lists, numbers)
        for array, value in counts or ():  # what is captured or rehearsed is no step
            array[...] = value

    def _counts(self, params: list[Tensor]) -> list[tuple[Any, Any]]:
        """The host's numbers in the state of parameters, such as step counts: (array, value)."""
        found = [t.array for p in params for t in self.state[p].values() if isinstance(t, Tensor) and t.device is CPU and not t.array.ndim]
        return [(array, array.copy()) for array in found]

    @no_grad()
    def updating(self, params: list[Tensor], group: dict[str, Any], captured: Any = None) -> None:
        """`update`; what `captured` makes of the calls of ops takes their place."""
        self.captured = captured
        try:
            self.update(params, _plain(group))
        finally:
            self.captured = None

    def zeros_like(self, p: Tensor, value: float = 0.0) -> Tensor:
        """Contiguous state of a parameter's shape and device, in float32 beside a master copy, else in the parameter's dtype."""
        self._refuse_capture(p)
        return p.new_full(tuple(p.shape), fill_value=value, dtype=dtypes.float32 if self._has_master(p) else None)

    def _has_master(self, p: Tensor) -> bool:
        return self.master_weights and p.dtype.name in HALF

    def _master(self, p: Tensor) -> Tensor | None:
        if not self._has_master(p):
            return None
        state = self.state[p]
        if "master" not in state:
            self._refuse_capture(p)
            state["master"] = p.detach().to(dtypes.float32, copy=True)
        master: Tensor = state["master"]
        return master

    def _refuse_capture(self, p: Tensor) -> None:
        if p.device.backend.capturing():
            raise RuntimeError(f"{self._name}.step cannot be captured in a graph before its state is there, which every replay would make "
                               "anew: take a step before, or call prepare() once the parameters have gradients")

    @no_grad()
    def prepare(self) -> None:
        """Make the state that a step would make for parameters with gradients, and load its kernels; then a graph can hold that step."""
        for group in self.param_groups:
            if params := [p for p in group["params"] if p.grad is not None]:
                self.updating(params, group, Rehearsal())

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, e.g. layers that were frozen before."""
        if not isinstance(param_group, dict):
            raise TypeError(f"{self._name}: a parameter group must be a dict, got a {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"{self._name}: a parameter group needs 'params', this one has {sorted(param_group)}")
        group = dict(param_group)
        params = group["params"]
        group["params"] = params = [params] if isinstance(params, Tensor) else list(params)
        seen = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{self._name}: parameter {i} is a {type(p).__name__}; only tensors can be optimized")
            if not p.is_leaf:
                raise ValueError(f"{self._name}: parameter {i} of shape {tuple(p.shape)} is the result of an operation; only leaf tensors "
                                 "can be optimized (call detach() and requires_grad_())")
            if id(p) in seen:
                raise ValueError(f"{self._name}: parameter {i} of shape {tuple(p.shape)} appears more than once: it would be updated twice")
            seen.add(id(p))
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self._check_how(group)
        self.check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad = p.grad.detach()
                    p.grad.zero_()

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what `closure`, which computes the loss again, returns."""
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p._grad is not None]
            for some in ([p] for p in params) if group.get("foreach") is False else [params] if params else []:
                if some[0].device.backend.capturing():
                    CapturedStep(self, some, group)
                else:
                    self.update(some, _plain(group))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: state}, "param_groups": [...]}, with parameters numbered in order; tensors are not copied."""
        number = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        groups = [{**{k: v for k, v in g.items() if k != "params"}, "params": [number[id(p)] for p in g["params"]]}
                  for g in self.param_groups]
        return {"state": {number[id(p)]: dict(s) for p, s in self.state.items() if s}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over copies of a state that `state_dict` gave; ValueError, with nothing changed, when it is of other parameters."""
        stored = state_dict["param_groups"]
        ours, theirs = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in stored]
        if ours != theirs:
            raise ValueError(f"{self._name}.load_state_dict: the stored groups have {theirs} parameters, this optimizer's {ours}")
        numbers = [i for g in stored for i in g["params"]]
        params = dict(zip(numbers, (p for g in self.param_groups for p in g["params"]), strict=True))
        state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        for i, values in state_dict["state"].items():
            if i not in params:
                raise ValueError(f"{self._name}.load_state_dict: there is state for parameter {i}, which is in no group")
            state[params[i]] = {k: self._restored(i, params[i], k, v) for k, v in values.items()
                                if k != "master" or self._has_master(params[i])}
        groups = [{**{k: copy.deepcopy(v) for k, v in new.items() if k != "params"}, "params": old["params"]}
                  for new, old in zip(stored, self.param_groups, strict=True)]
        for group in groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            self._check_how(group)
            self.check(group)
        self.state, self.param_groups = state, groups

    def _restored(self, number: int, p: Tensor, name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return copy.deepcopy(value)
        if name in self.own_shapes:
            return value.detach().clone() if value.ndim == 0 else value.detach().to(device=p.device, copy=True)
        if tuple(value.shape) != tuple(p.shape):
            raise ValueError(f"{self._name}.load_state_dict: {name} of parameter {number} has shape {tuple(value.shape)}, but the "
                             f"parameter has {tuple(p.shape)}")
        return value.detach().to(device=p.device, dtype=dtypes.float32 if self._has_master(p) else p.dtype, copy=True)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


def scalar(p: Tensor, value: float = 0.0) -> Tensor:
    """Something to count in: a float32 tensor without dimensions, on the CPU, as PyTorch's checkpoints have it."""
    return p.new_full((), fill_value=value, dtype=dtypes.float32, device="cpu")


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """A group whose learning rate is a number; any, while a graph is captured, as each replay asks again."""
    lr = group.get("lr")
    return {**group, "lr": 0.0 if lr.device.backend.capturing() else lr.item()} if isinstance(lr, Tensor) else group


def count_step(state: dict[str, Any]) -> float:
    """Count one more step; kept as a float32 tensor without dimensions, as PyTorch's checkpoints have it."""
    step = state["step"].array
    step += 1
    return float(step)
