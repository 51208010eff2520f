"""A dense network that tells images apart: 784-1024-512-256-24 on letters of sign language (--data csv:FILE), the same widths on others.

AdamW under a one-cycle schedule, dropout between the layers. It knows nothing of neighbouring pixels, and still passes 98% on MNIST.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tensorgrad.models.mlp import MLP

from .common import images
from .common.images import ImageOptions, normalise
from .common.options import option
from .common.run import Run

__all__ = ["Config", "make_model", "normalise", "train"]

WIDTHS, DROPOUT = (1024, 512, 256), 0.2


@dataclass
class Config(ImageOptions):
    """What decides the result. Where a field is None the size of the data set decides; config.json holds what was decided."""

    epochs: int | None = option(None, "passes over the data [default: 6 from 10,000 images on, else 25]")
    lr: float = option(0.001, "peak learning rate")

    few_epochs, many_epochs = 6, 25


def train(config: Config, run: Run) -> str:
    """Train, test, and fill the run folder; what to say at the end."""
    return images.train(config, run, make_model)


def make_model(data: dict[str, Any]) -> MLP:
    """The network for images of this size and these classes."""
    return MLP(math.prod(data["size"]), WIDTHS, len(data["classes"]), dropout=DROPOUT)
