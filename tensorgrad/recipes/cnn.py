"""A convolutional network that tells images of digits, letters or signs apart.

AdamW under a one-cycle schedule, no augmentation. The bundled digits take seconds; MNIST passes 99% within three epochs.
"""
from __future__ import annotations

import dataclasses
import io
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad.data import DataLoader, TensorDataset
from tensorgrad.data.sets import ImageSet, Part, load_images
from tensorgrad.errors import UserError
from tensorgrad.models.cnn import CNN

from .common import plots
from .common.run import Run
from .common.trainer import Trainer

FLOATS = ("float32", "float64", "bfloat16", "float16")


@dataclass
class Config:
    """What decides the result. Where a field is None the size of the data set decides; config.json holds what was decided."""

    data: str = field(default="digits", metadata={"help": "digits, mnist, csv:FILE (label,pixel1,...), or a folder with IDX files"})
    epochs: int | None = field(default=None, metadata={"help": "passes over the data [default: 3 from 10,000 images on, else 12]"})
    batch_size: int | None = field(default=None, metadata={"help": "images a step [default: 64 from 10,000 images on, else 32]"})
    lr: float = field(default=0.004, metadata={"help": "peak learning rate"})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's weight decay"})
    seed: int = field(default=0, metadata={"help": "seed of the weights and of the order of images"})
    device: str = field(default="cpu", metadata={"help": "where to compute"})
    dtype: str = field(default="float32", metadata={"help": "precision: " + ", ".join(FLOATS)})
    kernels: str = field(default="", metadata={"help": "kernels to use, e.g. conv2d=cpu/im2col,matmul=cpu/packed"})
    smoke: bool = field(default=False, metadata={"help": "a run of seconds on a few images, to see that everything works"})

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

    def decide(self, images: int) -> tuple[int, int]:
        """Epochs and batch size; what was left open is filled in by the size of the data set."""
        large = images >= 10_000
        self.epochs = (3 if large else 12) if self.epochs is None else self.epochs
        self.batch_size = (64 if large else 32) if self.batch_size is None else self.batch_size
        return self.epochs, self.batch_size


def train(config: Config, run: Run) -> dict[str, Any]:
    """Train, test, and fill the run folder; returns the last line of the metrics."""
    data = load_images(config.data)
    if config.smoke:
        data = _few(data)
        config.epochs = config.epochs or 1
    epochs, batch_size = config.decide(len(data.train[1]))
    mean, std = data.statistics()
    description = {
        "name": data.name, "fingerprint": data.fingerprint(), "images": [len(p[1]) for p in (data.train, data.val, data.test)],
        "size": list(data.size), "classes": data.classes, "labels": data.labels, "top": data.top, "mean": mean, "std": std or 1.0,
    }

    tg.manual_seed(config.seed)
    dtype = getattr(tg, config.dtype)
    model = make_model(description).to(device=config.device, dtype=dtype)
    optimizer = tg.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    loader = DataLoader(_tensors(data.train), batch_size, shuffle=True, generator=tg.Generator().manual_seed(config.seed))
    scheduler = tg.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=epochs * len(loader), pct_start=0.2)

    def prepare(x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return normalise(x.to(device=config.device), description).to(dtype), y.to(device=config.device)

    run.begin(dataclasses.asdict(config), description, {"tensorgrad": tg.__version__, "numpy": np.__version__})
    trainer = Trainer(run, model, optimizer, scheduler, prepare, epochs)
    result = trainer.fit(loader, DataLoader(_tensors(data.val), 500), DataLoader(_tensors(data.test), 500))

    images, truth = data.test
    run.write("loss.png", plots.curves(trainer.history, "loss"))
    run.write("accuracy.png", plots.curves(trainer.history, "accuracy"))
    run.write("confusion.png", plots.confusion_matrix(truth, result.probabilities.argmax(1), data.classes))
    run.write("mistakes.png", plots.worst_mistakes(images, truth, result.probabilities, data.classes))
    for k, name in enumerate(data.classes):
        of_class = np.flatnonzero(truth == k)
        if len(of_class):
            run.write(f"example-{name}.png", _png(images[of_class[0]] / data.top))
    return trainer.history[-1]


def make_model(data: dict[str, Any]) -> CNN:
    """The network for images of this size and these classes."""
    height, width = data["size"]
    if height != width or height < 4:
        raise UserError(f"{data['name']}: images of {height} x {width} pixels; this network takes square ones of at least 4 x 4")
    return CNN(height, classes=len(data["classes"]), widths=(16, 32), dense=128)


def normalise(x: tg.Tensor, data: dict[str, Any]) -> tg.Tensor:
    """Pixels between 0 and `top`, (N, H, W), to network input of mean 0 and deviation 1, (N, 1, H, W) in float32."""
    return ((x.to(tg.float32) - data["mean"] * data["top"]) * (1 / (data["std"] * data["top"]))).unsqueeze(1)


def _tensors(part: Part) -> TensorDataset:
    return TensorDataset(*[tg.from_numpy(np.array(a)) for a in part])


def _few(data: ImageSet) -> ImageSet:
    """The first images of each part."""
    def first(part: Part, n: int) -> Part:
        return part[0][:n], part[1][:n]

    return dataclasses.replace(data, train=first(data.train, 256), val=first(data.val, 64), test=first(data.test, 64))


def _png(image: np.ndarray) -> bytes:
    """A grey PNG of pixels between 0 and 1."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray((image * 255).round().astype(np.uint8)).save(out, "PNG")
    return out.getvalue()
