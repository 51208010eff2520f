"""Modules without drawn weights."""
from __future__ import annotations

from typing import Any

from .. import init
from ..modules.module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """`module_cls(*args, **kwargs)` whose weights are not drawn: they hold what their memory held. To be loaded into."""
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    with init.skipped():
        return module_cls(*args, **kwargs)
