"""The options that all recipes have: fields of their Config, and what their values may be."""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ...errors import UserError

FLOATS = ("float32", "float64", "bfloat16", "float16")


def option(default: Any, text: str) -> Any:
    """A field that becomes an option with this help."""
    return field(default=default, metadata={"help": text})


@dataclass
class Options:
    """What every recipe's Config begins with. A field that is None is decided when the data is known."""

    data: str = option("", "the data")
    epochs: int | None = option(None, "passes over the data")
    batch_size: int | None = option(None, "samples a step")
    lr: float = option(1e-3, "peak learning rate")
    weight_decay: float = option(0.01, "AdamW's weight decay")
    seed: int = option(0, "seed of the weights and of the order of samples")
    device: str = option("cpu", "where to compute")
    dtype: str = option("float32", "precision: " + ", ".join(FLOATS))
    kernels: str = option("", "kernels to use, e.g. conv2d=cpu/im2col,matmul=cpu/packed")
    smoke: bool = option(False, "a run of seconds on a little data, to see that everything works")

    def check(self) -> None:
        """UserError for values that cannot be."""
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UserError(f"--lr must be a positive number, got {self.lr}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UserError(f"--weight-decay must not be negative, got {self.weight_decay}")
        if self.dtype not in FLOATS:
            raise UserError(f"--dtype {self.dtype}: there are {', '.join(FLOATS)}")
