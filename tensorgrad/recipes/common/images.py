"""Recipes that tell images apart: their options, their data, their training and the pictures of their runs. They differ by the network."""
from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad.data import DataLoader, TensorDataset
from tensorgrad.data.sets import ImageSet, Part, load_images
from tensorgrad.nn import functional as F

from . import plots
from .options import Options, option
from .run import Run
from .trainer import Sums, Task, Trainer


@dataclass
class ImageOptions(Options):
    """What decides the result. Where a field is None the size of the data set decides; config.json holds what was decided."""

    data: str = option("digits", "digits, mnist, fashion_mnist, csv:FILE (label,pixel1,...), or a folder with IDX files")
    epochs: int | None = option(None, "passes over the data [default: 3 from 10,000 images on, else 12]")
    batch_size: int | None = option(None, "images a step [default: 64 from 10,000 images on, else 32]")

    few_epochs, many_epochs = 3, 12  # for much data, and for little

    def decide(self, images: int) -> tuple[int, int]:
        """Epochs and batch size; what was left open is filled in by the size of the data set."""
        large = images >= 10_000
        self.epochs = (self.few_epochs if large else self.many_epochs) if self.epochs is None else self.epochs
        self.batch_size = (64 if large else 32) if self.batch_size is None else self.batch_size
        return self.epochs, self.batch_size


class Classifier(Task):
    """Cross-entropy of labelled images; `description` is what the run knows of its data."""

    def __init__(self, model: tg.nn.Module, optimizer: tg.optim.Optimizer, scheduler: Any, config: ImageOptions,
                 description: dict[str, Any], data: ImageSet):
        super().__init__(model, optimizer, scheduler)
        self.config, self.description = config, description
        self.validation, self.held_out = DataLoader(tensors(data.val), 500), DataLoader(tensors(data.test), 500)
        self.probabilities = np.empty((0, 0), np.float32)  # of the test images

    def scores(self, images: tg.Tensor) -> tg.Tensor:
        x = normalise(images.to(device=self.config.device), self.description).to(getattr(tg, self.config.dtype))
        return self.model(x)

    def loss(self, batch: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, Sums]:
        images, labels = batch
        scores = self.scores(images)
        loss = F.cross_entropy(scores, labels.to(device=self.config.device))
        right = int((scores.detach().numpy(force=True).argmax(1) == labels.numpy()).sum())
        return loss, {"loss": loss.item() * len(labels), "acc": right, "samples": len(labels)}

    def validate(self) -> Sums:
        return self.evaluate(self.validation)[0]

    def test(self) -> Sums:
        figures, self.probabilities = self.evaluate(self.held_out)
        return figures

    @tg.no_grad()
    def evaluate(self, loader: DataLoader) -> tuple[Sums, np.ndarray]:
        """Loss and accuracy over all of a loader's images, and the probabilities (N, classes)."""
        self.model.eval()
        loss, wanted, rows = 0.0, [], []
        for images, labels in loader:
            scores = self.scores(images)
            loss += F.cross_entropy(scores, labels.to(device=self.config.device), reduction="sum").item()
            rows.append(F.softmax(scores, dim=1).numpy(force=True).astype(np.float32))
            wanted.append(labels.numpy())
        probabilities, truth = np.concatenate(rows), np.concatenate(wanted)
        return {"loss": loss / len(truth), "acc": float((probabilities.argmax(1) == truth).mean())}, probabilities


def train(config: ImageOptions, run: Run, make_model: Callable[[dict[str, Any]], tg.nn.Module]) -> str:
    """Train, test, and fill the run folder; what to say at the end."""
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
    model = make_model(description).to(device=config.device, dtype=getattr(tg, config.dtype))
    optimizer = tg.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    loader = DataLoader(tensors(data.train), batch_size, shuffle=True, generator=tg.Generator().manual_seed(config.seed))
    scheduler = tg.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=epochs * len(loader), pct_start=0.2)
    run.begin(dataclasses.asdict(config), description, {"tensorgrad": tg.__version__, "numpy": np.__version__})
    task = Classifier(model, optimizer, scheduler, config, description, data)
    trainer = Trainer(run, task, epochs)
    last = trainer.fit(loader)

    images, truth = data.test
    run.write("loss.png", plots.curves(trainer.history, "loss"))
    run.write("accuracy.png", plots.curves(trainer.history, "accuracy"))
    run.write("confusion.png", plots.confusion_matrix(truth, task.probabilities.argmax(1), data.classes))
    run.write("mistakes.png", plots.worst_mistakes(images, truth, task.probabilities, data.classes))
    for k, name in enumerate(data.classes):
        of_class = np.flatnonzero(truth == k)
        if len(of_class):
            run.write(f"example-{name}.png", _png(images[of_class[0]] / data.top))
    return (f"test accuracy {last['test_acc']:.2%}   {run.folder}: metrics.jsonl, checkpoint, curves, confusion matrix, worst mistakes\n"
            f"classify an image: tensorgrad predict {run.quoted} {run.quoted}/example-*.png")


def normalise(x: tg.Tensor, data: dict[str, Any]) -> tg.Tensor:
    """Pixels between 0 and `top`, (N, H, W), to network input of mean 0 and deviation 1, (N, 1, H, W) in float32."""
    return ((x.to(tg.float32) - data["mean"] * data["top"]) * (1 / (data["std"] * data["top"]))).unsqueeze(1)


def tensors(part: Part) -> TensorDataset:
    """Images and labels as a data set."""
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
