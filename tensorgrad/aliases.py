"""The package under a second name: after `sys.modules["torch"] = tensorgrad`, `import torch.nn as nn` is `tensorgrad.nn`, the same module.

Without this, Python would find the file by the package's path and run it again as another module, with other classes.
"""
from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = __package__


class _Same:
    """Loads `torch.x.y` by importing `tensorgrad.x.y`."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.loader_state)
        self.own = module.__spec__  # the import system will write the alias's spec over it
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own


class Aliases:
    """Finds modules by a name whose first part stands for this package in `sys.modules`; has no say in any other import."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Where to load a module from."""
        first, _, rest = name.partition(".")
        if not rest or first == _PACKAGE or sys.modules.get(first) is not sys.modules[_PACKAGE]:
            return None
        real = f"{_PACKAGE}.{rest}"
        if importlib.util.find_spec(real) is None:
            return None
        return ModuleSpec(name, _Same(), loader_state=real)  # type: ignore[arg-type]


def install() -> None:
    """Look here before the file system."""
    sys.meta_path.insert(0, Aliases)  # type: ignore[arg-type]
