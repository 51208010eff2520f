"""GradScaler: the loss times a factor, so that small gradients are not lost in float16; the factor is found on the way."""
from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from .. import creation, dtypes
from ..grad_mode import no_grad
from ..op import fn
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..optim.optimizer import Optimizer


class OptState(Enum):
    """How far an optimizer's step has come since the last `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Steps:
    """Of one optimizer since the last `update`."""

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.found_inf: list[Tensor] = []  # one for each device: 1.0 where a gradient was infinite or no number


class GradScaler:
    """`scale(loss).backward(); step(optimizer); update()`: gradients are those of loss * scale, and a step divides them by it first.

    A step whose gradients have an infinity or NaN is left out, and `update` multiplies the scale by `backoff_factor`; after
    `growth_interval` steps in a row without, by `growth_factor`. Call `unscale_(optimizer)` before the step to clip gradients. Gradients
    are looked at on their device; the host waits for the answer in `step`. With `enabled=False`, and for "cuda" without a GPU,
    everything is as it was without a scaler. ValueError names a factor out of range, RuntimeError a call out of order.
    Micikevicius et al., "Mixed precision training", ICLR 2018.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True):
        self._device, self._enabled = device, bool(enabled)
        if enabled and device == "cuda" and not _has_gpu():
            warnings.warn("GradScaler: there is no GPU, so scaling is off", stacklevel=2)
            self._enabled = False
        if self._enabled and growth_factor <= 1:
            raise ValueError(f"GradScaler: growth_factor must be above 1, got {growth_factor}")
        if self._enabled and backoff_factor >= 1:
            raise ValueError(f"GradScaler: backoff_factor must be below 1, got {backoff_factor}")
        self._init_scale, self._init_growth_tracker = float(init_scale), 0
        self._scale: Tensor | None = None
        self._growth_tracker: Tensor | None = None
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        self._steps: dict[int, _Steps] = {}

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each of several, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._scale = creation.full((), self._init_scale, dtype=dtypes.float32, device=outputs.device)
                self._growth_tracker = creation.full((), self._init_growth_tracker, dtype=dtypes.int32, device=outputs.device)
            return outputs * self._scale.to(outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled  # type: ignore[call-arg]
        raise ValueError(f"GradScaler.scale: expected a Tensor or an iterable of them, got a {type(outputs).__name__}")

    def _scale_for(self, what: str) -> Tensor:
        if self._scale is None:
            raise RuntimeError(f"GradScaler.{what}: nothing has been scaled yet; call scale(loss).backward() first")
        return self._scale

    @no_grad()
    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, and note whether one is infinite or no number."""
        if not self._enabled:
            return
        scale, steps = self._scale_for("unscale_"), self._steps.setdefault(id(optimizer), _Steps())
        if steps.stage is not OptState.READY:
            done = "unscale_" if steps.stage is OptState.UNSCALED else "step"
            raise RuntimeError(f"GradScaler.unscale_: {done} has been called for this optimizer since the last update()")
        groups: dict[tuple, list[Tensor]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if p.grad.dtype is dtypes.float16:
                        raise ValueError("GradScaler.unscale_: a gradient is float16, where the scale would be lost again; keep parameters "
                                         "in float32")
                    groups.setdefault((p.device, p.dtype), []).append(p.grad)
        inverse = scale.to(dtypes.float64).reciprocal().to(dtypes.float32)
        for (device, _), grads in groups.items():
            steps.found_inf.append(fn.isfinite(fn.total_norm(grads, math.inf)).logical_not().to(dtypes.float32))
            factor = inverse.to(device)
            for g in grads:
                g.mul_(factor)
        steps.stage = OptState.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`unscale_`, unless that was done, and the optimizer's step, unless a gradient was infinite or no number."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise RuntimeError("GradScaler.step: takes no closure, whose gradients it could not look at before the step")
        self._scale_for("step")
        steps = self._steps.setdefault(id(optimizer), _Steps())
        if steps.stage is OptState.STEPPED:
            raise RuntimeError("GradScaler.step: has been called for this optimizer since the last update()")
        if steps.stage is OptState.READY:
            self.unscale_(optimizer)
        if not steps.found_inf:
            raise RuntimeError("GradScaler.step: none of the optimizer's parameters has a gradient")
        result = None if any(float(found) for found in steps.found_inf) else optimizer.step()
        steps.stage = OptState.STEPPED
        return result

    @no_grad()
    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Change the scale after the steps of an iteration: by what they found, or to `new_scale`."""
        if not self._enabled:
            return
        scale, tracker = self._scale_for("update"), self._growth_tracker
        assert tracker is not None
        if new_scale is None:
            found = [f.to(scale.device) for steps in self._steps.values() for f in steps.found_inf]
            if not found:
                raise RuntimeError("GradScaler.update: no gradients have been seen since the last update(); call step(optimizer) first")
            bad = fn.stack(found).amax() > 0
            count = (tracker + 1).masked_fill(bad, 0)
            grows = count == self._growth_interval
            larger = scale * self._growth_factor
            scale.copy_(fn.where(bad, scale * self._backoff_factor, fn.where(grows & fn.isfinite(larger), larger, scale)))
            tracker.copy_(count.masked_fill(grows, 0))
        elif isinstance(new_scale, Tensor):
            scale.copy_(new_scale.reshape(()))
        else:
            scale.fill_(new_scale)
        self._steps = {}

    def get_scale(self) -> float:
        """The scale as a number, which the host waits for; 1.0 where scaling is off."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale)

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """What the scale is multiplied by when it grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after an infinite gradient."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """What the scale is multiplied by after an infinite gradient."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """How many good steps in a row make the scale grow."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether scaling is on."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, its factors, and how many good steps it has seen; empty where scaling is off."""
        if not self._enabled:
            return {}
        tracker = self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker)
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": tracker}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; RuntimeError for that of a scaler that was off."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("GradScaler.load_state_dict: the state is empty, like that of a scaler with enabled=False")
        self._init_scale, self._init_growth_tracker = float(state_dict["scale"]), int(state_dict["_growth_tracker"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._scale, self._growth_tracker = state_dict["growth_interval"], None, None
        self._steps = {}


def _has_gpu() -> bool:
    from .. import cuda

    available: Callable[[], bool] = cuda.is_available
    return available()
