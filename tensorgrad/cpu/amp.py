"""`tensorgrad.cpu.amp`: the former names of what is in `tensorgrad.amp`, for the device `cpu`."""
from __future__ import annotations

from .. import amp, dtypes, missing


class autocast(amp.autocast):
    """`tensorgrad.amp.autocast("cpu", ...)`."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.bfloat16, cache_enabled: bool = True):
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`tensorgrad.amp.GradScaler("cpu", ...)`."""

    def __init__(self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000,
                 enabled: bool = True):
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


__getattr__ = missing.of(__name__)
