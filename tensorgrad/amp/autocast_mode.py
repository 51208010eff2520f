"""`autocast`: ops choose their precision; and what a custom Function says about it."""
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import precision
from ..dtypes import dtype as DType
from ..precision import STATE
from ..tensor import Tensor


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a device type: "cpu", "cuda" or "emu"."""
    return _type_of(device_type) in precision.DEFAULTS


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on in this thread for a device type."""
    return _known(device_type) in STATE.enabled


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Autocast on or off in this thread for a device type, without a block that ends it. `set_autocast_enabled(True)` is for "cuda"."""
    if enabled is None:
        device_type, enabled = "cuda", bool(device_type)
    enable = STATE.enabled.union if enabled else STATE.enabled.difference
    precision.enable(frozenset(enable({_known(device_type)})))


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that autocast lowers to: float16 at first, on the cpu bfloat16."""
    return STATE.dtypes[_known(device_type)]


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """The dtype that autocast for a device type lowers to from here on, in this thread."""
    if dtype not in precision.LOWER:
        raise RuntimeError(f"set_autocast_dtype: dtype must be bfloat16 or float16, not {dtype}")
    STATE.dtypes = {**STATE.dtypes, _known(device_type): dtype}


def is_autocast_cache_enabled() -> bool:
    """Whether casts of weights are kept until the outermost block ends."""
    return STATE.caching


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Whether casts of weights are kept until the outermost block ends."""
    STATE.caching = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of weights."""
    STATE.casts = {}


class autocast:
    """In a `with` block, or a function it decorates, ops choose their precision: products and convolutions `dtype`, losses float32.

    `device_type`: "cpu", "cuda" or "emu", whose tensors it concerns. `dtype`: bfloat16 or float16, else that of `get_autocast_dtype`
    (float16; bfloat16 on the cpu); another one is warned of and switches it off. `enabled=False` switches it off inside another block.
    Casts of weights are kept until the outermost block ends unless `cache_enabled=False`. Parameters and their gradients keep their
    dtype. Belongs to the thread. The ops and their precisions are PyTorch's, each in the op's attribute `autocast`.
    Micikevicius et al., "Mixed precision training", ICLR 2018.
    """

    def __init__(self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None):
        self.device = _known(device_type)
        self.fast_dtype = STATE.dtypes[self.device] if dtype is None else dtype
        self._cache_enabled = STATE.caching if cache_enabled is None else bool(cache_enabled)
        self._enabled = bool(enabled)
        self._before: list[tuple] = []
        if enabled and self.device == "cuda" and not _has_gpu():
            warnings.warn("autocast: there is no GPU, so autocast for cuda is off", stacklevel=2)
            self._enabled = False
        elif enabled and self.fast_dtype not in precision.LOWER:
            warnings.warn(f"autocast: dtype must be bfloat16 or float16, not {self.fast_dtype}; autocast is off", stacklevel=2)
            self._enabled = False

    def __enter__(self) -> autocast:
        self._before.append(precision.state())
        STATE.depth += 1
        STATE.dtypes, STATE.caching, STATE.suspended = {**STATE.dtypes, self.device: self.fast_dtype}, self._cache_enabled, False
        precision.enable(frozenset(STATE.enabled | {self.device} if self._enabled else STATE.enabled - {self.device}))
        return self

    def __exit__(self, *exc: object) -> None:
        STATE.depth -= 1
        if STATE.depth == 0:
            clear_autocast_cache()
        precision.restore(self._before.pop())

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise TypeError(f"autocast: decorates functions, not a {type(func).__name__}; write `with autocast(...):` around a block")

        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self._enabled, self._cache_enabled):
                return func(*args, **kwargs)

        return wrapped


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None) -> Callable[..., Any]:
    """Decorates the `forward` of a Function: with `cast_inputs` its floating tensors take that dtype and autocast is off inside.

    Without, `forward` runs in autocast, and `backward` under `custom_bwd` in the same. Outside of autocast nothing is changed.
    """
    device = _known(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        on = device in STATE.enabled
        ctx._autocast = (get_autocast_dtype(device), on and cast_inputs is None)
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device, enabled=False):
            return fwd(ctx, *_cast(args, device, cast_inputs), **_cast(kwargs, device, cast_inputs))

    return decorated


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """Decorates the `backward` of a Function whose `forward` has `custom_fwd`: it runs with autocast as `forward` did."""
    device = _known(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(ctx: Any, *grads: Any) -> Any:
        kind, on = ctx._autocast
        with autocast(device, kind, on):
            return bwd(ctx, *grads)

    return decorated


def _cast(value: Any, device: str, kind: DType) -> Any:
    """A value, or the floating tensors in lists, tuples and dicts, in another dtype."""
    if isinstance(value, Tensor):
        return value.to(kind) if precision.eligible(value, device) else value
    if isinstance(value, Mapping):
        return {_cast(k, device, kind): _cast(v, device, kind) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and isinstance(value, Iterable):
        return type(value)(_cast(v, device, kind) for v in value)
    return value


def _type_of(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"autocast: device_type must be a str, not a {type(device_type).__name__}")
    return device_type


def _known(device_type: Any) -> str:
    if _type_of(device_type) not in precision.DEFAULTS:
        raise RuntimeError(f"autocast: device_type must be one of {', '.join(precision.DEFAULTS)}, not {device_type!r}")
    return str(device_type)


def _has_gpu() -> bool:
    from .. import cuda

    return cuda.is_available()
