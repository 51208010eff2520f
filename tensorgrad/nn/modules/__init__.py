"""The layers, one file for each family; a public class of a file here is offered as `tensorgrad.nn.<name>`."""
from __future__ import annotations

import importlib
import pkgutil

from ... import missing
from .module import Module as Module

for _info in pkgutil.iter_modules(__path__):
    _file = importlib.import_module(f"{__name__}.{_info.name}")
    for _name, _class in list(vars(_file).items()):
        if isinstance(_class, type) and issubclass(_class, Module) and not _name.startswith("_") and _class.__module__ == _file.__name__:
            globals()[_name] = _class

__getattr__ = missing.of(__name__)
