"""L-BFGS: Newton's method with a Hessian known by its last few products."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..autograd import enable_grad
from ..grad_mode import no_grad
from ..op import fn
from ..tensor import Tensor
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer, check_number


class LBFGS(Optimizer):
    """p += t d with d = -H g, H being the inverse Hessian after `history_size` rank-two corrections y = g_k - g_k-1, s = p_k - p_k-1.

    A `step(closure)` is up to `max_iter` of these, and up to `max_eval` (5/4 of it) calls of `closure`, which clears the gradients,
    computes the loss and its gradients, and returns it. t is lr, the very first one min(1, 1 / |g|_1) lr; with
    `line_search_fn="strong_wolfe"` it is looked for from there. It stops early where no gradient is above `tolerance_grad`, or loss or
    parameters change by less than `tolerance_change`. One group of parameters, on one device and of one dtype.
    ValueError names a hyperparameter out of range.
    Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5.
    """

    own_shapes = ("d", "prev_flat_grad")

    def __init__(self, params: Iterable[Any], lr: float | Tensor = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None):
        super().__init__(params, {"lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                                  "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
                                  "line_search_fn": line_search_fn})

    def check(self, group: dict[str, Any]) -> None:
        check_number("LBFGS", "lr", group["lr"])
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn must be None or 'strong_wolfe', got {group['line_search_fn']!r}")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ValueError("LBFGS: there can be one group of parameters only")
        super().add_param_group(param_group)
        kinds = {(p.dtype.name, str(p.device)) for p in self._params}
        if len(kinds) > 1:
            raise ValueError(f"LBFGS: all parameters must be of one dtype and on one device, got {sorted(kinds)}")

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise for some iterations; returns the loss at the start. `closure` computes the loss and its gradients anew."""
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that clears the gradients, computes the loss and returns it")
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with enable_grad():
            first_loss = closure()
        loss, evals, lr = float(first_loss), 1, float(group["lr"])
        state["func_evals"] += 1
        g = self._gradient()
        if _largest(g) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = self._direction(g, state, group["history_size"])
            state["d"], state["prev_flat_grad"], state["prev_loss"] = d, g, loss
            t = lr * min(1.0, 1.0 / float(g.abs().sum())) if state["n_iter"] == 1 else lr
            state["t"] = t
            slope = float(g.dot(d))
            if slope > -group["tolerance_change"]:
                break
            asked, before = 0, loss
            if group["line_search_fn"]:
                start = [p.clone() for p in self._params]
                found, asked = strong_wolfe(lambda step: self._at(closure, start, step, d), Point(0.0, loss, g, slope),  # noqa: B023
                                            t, _largest(d), group["max_eval"] - evals, group["tolerance_change"])
                loss, g, state["t"] = found.value, found.gradient, found.step
                self._move(found.step, d)
            else:
                self._move(t, d)
                if iteration != group["max_iter"]:
                    with enable_grad():
                        loss = float(closure())
                    g, asked = self._gradient(), 1
            evals += asked
            state["func_evals"] += asked
            if (evals >= group["max_eval"] or _largest(g) <= group["tolerance_grad"]
                    or _largest(d) * abs(state["t"]) <= group["tolerance_change"] or abs(loss - before) < group["tolerance_change"]):
                break
        return first_loss

    def _direction(self, g: Tensor, state: dict[str, Any], history_size: int) -> Tensor:
        """-H g, after the last step has been added to what is known of H."""
        if state["n_iter"] == 1:
            state["old_dirs"], state["old_stps"], state["ro"], state["H_diag"] = [], [], [], 1.0
            return -g
        ys, ss, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        product = float(y.dot(s))
        if product > 1e-10:
            for kept in (ys, ss, ro):
                del kept[:max(0, len(kept) + 1 - history_size)]
            ys.append(y)
            ss.append(s)
            ro.append(1 / product)
            state["H_diag"] = product / float(y.dot(y))
        d, parts = -g, []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro), strict=True):
            parts.append(float(s.dot(d)) * float(r))
            d.sub_(y, alpha=parts[-1])
        d.mul_(float(state["H_diag"]))
        for y, s, r, part in zip(ys, ss, ro, reversed(parts), strict=True):
            d.add_(s, alpha=part - float(y.dot(d)) * float(r))
        return d

    def _gradient(self) -> Tensor:
        return fn.cat([p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in self._params])

    def _move(self, step: float, direction: Tensor) -> None:
        at = 0
        for p in self._params:
            p.add_(direction[at:at + p.numel()].view(p.shape), alpha=step)
            at += p.numel()

    def _at(self, closure: Callable[[], Any], start: list[Tensor], step: float, direction: Tensor) -> Point:
        """The objective a step from the start, to which the parameters return."""
        self._move(step, direction)
        with enable_grad():
            value = float(closure())
        g = self._gradient()
        for p, old in zip(self._params, start, strict=True):
            p.copy_(old)
        return Point(step, value, g, float(g.dot(direction)))


def _largest(t: Tensor) -> float:
    return float(t.abs().max())
