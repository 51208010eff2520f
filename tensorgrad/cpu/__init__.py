"""`tensorgrad.cpu`: what PyTorch has under `torch.cpu`."""
from __future__ import annotations

from .. import missing
from . import amp as amp


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def synchronize(device: object = None) -> None:
    """Nothing to wait for: kernels return when done."""


__getattr__ = missing.of(__name__)
