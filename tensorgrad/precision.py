"""Automatic mixed precision as ops see it: which dtype a call's arguments take while autocast is on. What users call is in amp/.

An op says in its attribute `autocast` what it computes in, on the cpu and elsewhere: "lower" (the dtype of autocast), "float32", "widest"
(float32 if one of its arguments has it, else autocast's) or "refused"; nothing where it takes arguments as they come. Arguments that are
float64, or no floating tensors, or elsewhere, stay as they are, and what the op calls in turn is not changed again.
Micikevicius et al., "Mixed precision training", ICLR 2018.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import dtypes
from .graph import MODE, version_cell

if TYPE_CHECKING:
    from .op import Op
    from .tensor import Tensor

ACTIVE: list[object] = []  # one entry for each thread with autocast on: while it is empty ops look at nothing more
DEFAULTS = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16, "emu": dtypes.float16}
LOWER = (dtypes.bfloat16, dtypes.float16)


class _State(threading.local):
    """Of a thread. Its values are replaced, never changed in place."""

    enabled: frozenset[str] = frozenset()  # the device types for which autocast is on
    dtypes: dict[str, dtypes.dtype] = DEFAULTS
    caching = True
    suspended = False  # inside an op that was changed already, and in backward
    depth = 0  # of blocks in each other
    token: object | None = None  # in ACTIVE

    def __init__(self) -> None:
        self.casts: dict[int, tuple] = {}  # of weights: the weight, what it was, its cast


STATE = _State()


def enable(devices: frozenset[str]) -> None:
    """Autocast in this thread is on for these device types and no others."""
    STATE.enabled = devices
    if devices and STATE.token is None:
        STATE.token = object()
        ACTIVE.append(STATE.token)
    elif not devices and STATE.token is not None:
        ACTIVE.remove(STATE.token)
        STATE.token = None


def state() -> tuple[frozenset[str], dict[str, dtypes.dtype], bool, bool]:
    """This thread's, for `restore`."""
    return STATE.enabled, STATE.dtypes, STATE.caching, STATE.suspended


def restore(before: tuple[frozenset[str], dict[str, dtypes.dtype], bool, bool]) -> None:
    """As it was when `state()` gave this."""
    devices, STATE.dtypes, STATE.caching, STATE.suspended = before
    enable(devices)


@contextmanager
def as_in(other: tuple[frozenset[str], dict[str, dtypes.dtype], bool, bool]) -> Iterator[None]:
    """In a `with` block autocast is as it was when `state()` gave this."""
    before = state()
    restore(other)
    try:
        yield
    finally:
        restore(before)


def plainly(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function whose ops take their arguments as they come."""
    before, STATE.suspended = STATE.suspended, True
    try:
        return f(*args, **kwargs)
    finally:
        STATE.suspended = before


def arranged(op: Op, args: tuple) -> list | None:
    """The tensor arguments of a call in the dtype that its op asks for; None where autocast does not concern it.

    Autocast is then suspended; whoever asked calls `resume` when the op is done.
    """
    from .arguments import tensors_among

    if STATE.suspended:
        return None
    tensors = list(tensors_among(args))
    where = tensors[0].device.type if tensors else ""
    policy = op.autocast[where != "cpu"]
    if where not in STATE.enabled or not policy:
        return None
    if policy == "refused":
        raise RuntimeError(f"{op.name} is unsafe under autocast: the log of a probability in {STATE.dtypes[where].name} overflows; use "
                           f"{op.name}_with_logits on what comes before the sigmoid, or autocast(enabled=False) around it")
    lower = STATE.dtypes[where]
    if policy == "lower":
        kind = lower
    else:
        kind = dtypes.float32 if policy == "float32" or any(t.dtype is dtypes.float32 for t in tensors) else lower
    changed = [_cast(a, where, kind, kind is lower) for a in args]
    STATE.suspended = True
    return changed


def resume() -> None:
    """After the op that `arranged` prepared."""
    STATE.suspended = False


def eligible(t: Tensor, device_type: str) -> bool:
    """Whether autocast for a device type concerns this tensor."""
    return t.device.type == device_type and t.dtype.is_floating_point and t.dtype is not dtypes.float64


def _cast(a: Any, where: str, kind: dtypes.dtype, lowered: bool) -> Any:
    if isinstance(a, (list, tuple)):
        return [_cast(x, where, kind, lowered) for x in a]
    if not hasattr(a, "tracked") or a.dtype is kind or not eligible(a, where):
        return a
    if not (lowered and STATE.caching and STATE.depth and a.tracked and a.edge is None and a._view is None):
        return a.to(kind)
    key = (kind, version_cell(a)[0], a.array, MODE.enabled)
    known = STATE.casts.get(id(a))
    if known is None or known[0] is not a or known[1][:2] != key[:2] or known[1][2] is not a.array or known[1][3] != MODE.enabled:
        known = STATE.casts[id(a)] = (a, key, a.to(kind))
    return known[2]
