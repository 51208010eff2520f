"""Recipes: a network, its data and its training in one file each; `tensorgrad train NAME` runs `recipes/NAME.py`.

A recipe defines `Config`, a dataclass whose fields become the command's options (`help` in their metadata), and `train(config, run)`.
"""
from __future__ import annotations

import pkgutil

NAMES = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)
