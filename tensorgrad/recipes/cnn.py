"""A convolutional network that tells images of digits, letters or signs apart.

AdamW under a one-cycle schedule, no augmentation. The bundled digits take seconds; MNIST passes 99% within three epochs.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tensorgrad.errors import UserError
from tensorgrad.models.cnn import CNN

from .common import images
from .common.images import ImageOptions, normalise
from .common.options import option
from .common.run import Run

__all__ = ["Config", "make_model", "normalise", "train"]


@dataclass
class Config(ImageOptions):
    """What decides the result. Where a field is None the size of the data set decides; config.json holds what was decided."""

    lr: float = option(0.004, "peak learning rate")


def train(config: Config, run: Run) -> str:
    """Train, test, and fill the run folder; what to say at the end."""
    return images.train(config, run, make_model)


def make_model(data: dict[str, Any]) -> CNN:
    """The network for images of this size and these classes."""
    height, width = data["size"]
    if height != width or height < 4:
        raise UserError(f"{data['name']}: images of {height} x {width} pixels; this network takes square ones of at least 4 x 4")
    return CNN(height, classes=len(data["classes"]), widths=(16, 32), dense=128)
