"""Anomaly mode: the first operation that turns good numbers into NaN or infinity is named, with the line that called it.

Forward: each op's output is looked at. Backward: each node's gradients are; a bad one is told with the line of its forward.
Looking costs a pass over every result: a mode for debugging.
"""
from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

import numpy as np

from .graph import MODE, Node
from .op import OBSERVERS
from .tensor import Tensor

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_USERS = tuple(_HERE + folder + os.sep for folder in ("models", "recipes"))  # written like a user's code


class AnomalyError(RuntimeError):
    """An operation made NaN or infinity out of finite numbers."""


class _Watch:
    """Looks at results. One for the whole process: each thread switches it on for itself through MODE.anomaly."""

    def __init__(self, check_nan: bool):
        self.check_nan = check_nan
        self.in_backward = 0

    def forward(self, ctx: Node, out: Any, args: tuple) -> None:
        """Observer of all ops: note the caller; raise where the output is bad and the arguments were not."""
        if MODE.anomaly != self.backward:  # another thread's
            return
        ctx.called_at = caller()
        if self.check_nan and not self.in_backward:
            bad = _bad(out)
            if bad and not _bad(args):
                raise AnomalyError(f"{ctx.name}: its output has {bad}, and its inputs had none; called at {ctx.called_at}")

    def backward(self, node: Node, grads: list) -> Any:
        """Run a node's backward and look at what comes out."""
        self.in_backward += 1
        try:
            result = node.op.backward(node, *grads)
        except AnomalyError:
            raise
        except Exception as e:
            if node.called_at is not None:
                e.add_note(f"in the backward of {node.name}, whose forward was called at {node.called_at}")
            raise
        finally:
            self.in_backward -= 1
        bad = _bad(result) if self.check_nan else None
        if bad and not _bad(grads):
            where = f"its forward was called at {node.called_at}" if node.called_at else "its forward ran before anomaly mode was on"
            raise AnomalyError(f"backward of {node.name}: its gradients have {bad}, and those it was given had none; {where}")
        return result


def _bad(value: Any) -> str | None:
    """What is wrong with a tensor, a number or a collection of them: "3 NaN of 12 values", or None."""
    if isinstance(value, (tuple, list)):
        return next((b for b in map(_bad, value) if b), None)
    if isinstance(value, Tensor):
        if not value.dtype.is_floating_point:
            return None
        a = value.device.backend.to_numpy(value.array)
        if np.isfinite(a).all():
            return None
        nan = int(np.isnan(a).sum())
        infinite = int(a.size - np.isfinite(a).sum()) - nan
        found = " and ".join(f"{n} {what}" for n, what in ((nan, "NaN"), (infinite, "infinite")) if n)
        return f"{found} of {a.size} values"
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        return str(value)
    return None


def caller() -> str | None:
    """file:line of the innermost frame outside the package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith("<") and (not name.startswith(_HERE) or name.startswith(_USERS)):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return None



def set_mode(watch: _Watch | None) -> _Watch | None:
    """Switch this thread's anomaly mode; returns what it was."""
    before = getattr(MODE.anomaly, "__self__", None)
    MODE.anomaly = None if watch is None else watch.backward
    if before is not None:
        OBSERVERS.remove(before.forward)
    if watch is not None:
        OBSERVERS.append(watch.forward)
    return before


class set_detect_anomaly:
    """Anomaly mode on or off, at once and as a context manager. Without `check_nan` only errors in backward are told where they began."""

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = set_mode(_Watch(check_nan) if mode else None)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        set_mode(self._before)


class detect_anomaly(set_detect_anomaly):
    """`with detect_anomaly():` the first op to produce NaN or infinity inside raises, forward or backward."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether this thread looks for NaN and infinity."""
    return MODE.anomaly is not None
