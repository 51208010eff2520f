"""Devices, one module each: a module here is a device name. (A package here is none: it holds settings under PyTorch's path.)

A backend module offers: `xp` (the array module), `families` (kernel families, preferred first), `check(index)` (the index meant; an error
where the device is not there), `asarray(a)` and `to_numpy(a)` (storage from and to NumPy), `scalar(a)` (a number as storage), `constant(a)`
(what follows from shapes alone), `address(a)`,
`load_kernels()` (yields dispatch.Kernel), `describe()` (rows for `tensorgrad doctor`), `synchronize()`, `capturing()` (whether work is
recorded instead of done; where that can be, `before_replays(f)` has f called before the record runs, and `for_replays(count, dtype)` is
storage for f to write), `active()` (a context for work outside of ops), and where kernels are made for some chips only `chip(index)` (the
compute capability, 90 for 9.0). `arrays` names the family of the rungs that ops write in Python over an array module, if its storage has
them. It may name another device with the same storage in `borrows`: that device's kernels then serve where it has none of its own. Where
there are several of a device, `at(index)` gives the same for one of them.
"""
from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from .. import missing

NAMES = sorted((m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg), key=lambda name: (name != "cpu", name))


def load(name: str) -> ModuleType:
    """The backend module of a device name; imported on first use."""
    return importlib.import_module(f"{__name__}.{name}")


_missing = missing.of(__name__)


def __getattr__(name: str) -> Any:
    if name == "cuda":  # scripts write backends.cuda.matmul.allow_tf32 = True on any machine
        try:
            return load(name)
        except (ImportError, RuntimeError):
            return load("permissions")
    return _missing(name)
