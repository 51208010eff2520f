"""Triton kernels, a file for each family of ops: compiled by Triton, launched by tensorgrad, without PyTorch. README.md tells how.

A module of this package is a family; what it marks with `@rung` is there for dispatch under `triton/<rung>`, on a GPU beside the CUDA C++
kernels, and on the device emu where Triton's interpreter is switched on (TRITON_INTERPRET=1).
"""
from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Iterator
from typing import Any

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "y", "yes")


def absent() -> str | None:
    """Why there are no Triton kernels here, with the way out; or None when there are."""
    found = importlib.util.find_spec("triton")
    if found is None or found.origin is None:  # a folder of that name is no package
        return "Triton is not installed: pip install 'tensorgrad-engine[cuda]' brings it"
    if not INTERPRETED and importlib.util.find_spec("tensorgrad._launcher") is None:
        return "tensorgrad's launcher (tensorgrad._launcher) is not in this installation; it is built on Linux"
    return None


def launcher() -> Any:
    """The module that launches them on a GPU; None where there are none, or the interpreter runs them."""
    return None if INTERPRETED or absent() else importlib.import_module("tensorgrad._launcher")


def load_kernels() -> Iterator[tuple]:
    """(op, path, dtypes, source, writes, callable, chips, whether deterministic) of every Triton kernel; none where Triton is absent."""
    if absent():
        return
    from .runtime import RUNGS
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:
            importlib.import_module(f"{__name__}.{module.name}")
    yield from RUNGS
