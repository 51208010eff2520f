"""The training loop of a classifier: train an epoch, look at the validation images, save; at the end, the test.

All that decides how training goes on lives in `state()`: stored after each epoch, and in the middle of one when asked to stop, it makes a
resumed run equal to an uninterrupted one bit for bit.
"""
from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import random
from ...data import DataLoader
from ...errors import UserError
from ...grad_mode import no_grad
from ...nn import Module
from ...nn import functional as F
from ...optim import Optimizer
from ...optim.lr_scheduler import LRScheduler
from ...tensor import Tensor
from .display import Display
from .run import Run, Stopped
from .signals import StopSignal, stopped

Prepare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass
class Sums:
    """Sums over the part of an epoch that is done."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    seconds: float = 0.0


@dataclass
class Evaluation:
    """How a model does on a part of the data."""

    loss: float
    accuracy: float
    probabilities: np.ndarray  # (N, classes) float32


class Trainer:
    """Trains a classifier with cross-entropy. The scheduler steps after each batch; `prepare` makes a batch of images input."""

    def __init__(self, run: Run, model: Module, optimizer: Optimizer, scheduler: LRScheduler, prepare: Prepare, epochs: int):
        self.run, self.model, self.optimizer, self.scheduler = run, model, optimizer, scheduler
        self.prepare, self.epochs = prepare, epochs
        self.epoch = 0  # epochs done
        self.sums = Sums()
        self.history: list[dict[str, Any]] = []  # the lines of metrics.jsonl

    def fit(self, loader: DataLoader, validation: DataLoader, test: DataLoader) -> Evaluation:
        """Train what is left of the epochs, then test; saves as it goes."""
        stored = self.run.load() if self.run.resumed else None
        if stored is not None:
            self.restore(stored, loader)
        else:
            self.run.save(self.state(loader))
        self.run.write_metrics(self.history)
        with StopSignal() as stop, Display(self.epochs) as display:
            while self.epoch < self.epochs:
                self.train_epoch(loader, stop, display)
                self.finish_epoch(loader, validation, display)
                self.leave_if(stop)
        return self.finish(loader, test)

    def train_epoch(self, loader: DataLoader, stop: StopSignal, display: Display) -> None:
        """One pass over the training images, or what is left of it."""
        sums, began = self.sums, time.perf_counter() - self.sums.seconds
        display.epoch(self.epoch + 1, len(loader), loader.position)
        self.model.train()
        for images, labels in loader:
            x, y = self.prepare(images, labels)
            self.optimizer.zero_grad()
            scores = self.model(x)
            loss = F.cross_entropy(scores, y)
            value = loss.item()
            if not math.isfinite(value):
                raise Stopped(self.diverged(value, loader.position))
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()

            sums.loss += value * len(labels)
            sums.correct += int((scores.detach().numpy(force=True).argmax(1) == labels.numpy()).sum())
            sums.samples += len(labels)
            sums.seconds = time.perf_counter() - began
            display.batch(loader.position, sums.loss / sums.samples, sums.correct / sums.samples, sums.samples / sums.seconds)
            if stop.received is not None and loader.position < len(loader):
                self.run.save(self.state(loader))
                self.leave_if(stop)

    def finish_epoch(self, loader: DataLoader, validation: DataLoader, display: Display) -> None:
        """Validate, note the epoch's figures, save."""
        seen, sums = self.evaluate(validation), self.sums
        self.epoch, self.sums = self.epoch + 1, Sums()
        figures = {
            "epoch": self.epoch, "train_loss": sums.loss / sums.samples, "train_acc": sums.correct / sums.samples,
            "val_loss": seen.loss, "val_acc": seen.accuracy, "seconds": round(sums.seconds, 3),
            "samples_per_s": round(sums.samples / sums.seconds, 1),
        }
        self.history.append(figures)
        self.run.save(self.state(loader))
        self.run.write_metrics(self.history)
        display.line(f"epoch {self.epoch}/{self.epochs}  train loss {figures['train_loss']:.4f} acc {figures['train_acc']:.2%}  "
                     f"val loss {seen.loss:.4f} acc {seen.accuracy:.2%}  {sums.seconds:.1f} s  {figures['samples_per_s']:,.0f} samples/s")

    def finish(self, loader: DataLoader, test: DataLoader) -> Evaluation:
        """Test; the figure goes into the metrics once."""
        result = self.evaluate(test)
        if "test_acc" not in (self.history[-1] if self.history else {}):
            self.history.append({"epoch": self.epoch, "test_loss": result.loss, "test_acc": result.accuracy})
            self.run.save(self.state(loader))
            self.run.write_metrics(self.history)
        return result

    @no_grad()
    def evaluate(self, loader: DataLoader) -> Evaluation:
        """Loss, accuracy and probabilities over all of a loader's images."""
        self.model.eval()
        loss, wanted, rows = 0.0, [], []
        for images, labels in loader:
            x, y = self.prepare(images, labels)
            scores = self.model(x)
            loss += F.cross_entropy(scores, y, reduction="sum").item()
            rows.append(F.softmax(scores, dim=1).numpy(force=True).astype(np.float32))
            wanted.append(labels.numpy())
        probabilities, truth = np.concatenate(rows), np.concatenate(wanted)
        return Evaluation(loss / len(truth), float((probabilities.argmax(1) == truth).mean()), probabilities)

    def state(self, loader: DataLoader) -> dict[str, Any]:
        """Everything a checkpoint holds."""
        return {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict(),
            "loader": loader.state_dict(), "random": random.state_dict(), "epoch": self.epoch, "sums": vars(self.sums),
            "history": self.history,
        }

    def restore(self, state: dict[str, Any], loader: DataLoader) -> None:
        """Go on from a checkpoint; UserError where it is of another model."""
        lacks = ", ".join(self.state(loader).keys() - state.keys())
        if lacks:
            raise UserError(f"{self.run.folder}: its checkpoint is not one of a training run: it lacks {lacks}")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            loader.load_state_dict(state["loader"])
            random.load_state_dict(state["random"])
            self.epoch, self.sums, self.history = state["epoch"], Sums(**state["sums"]), list(state["history"])
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as e:
            raise UserError(f"{self.run.folder}: its checkpoint does not fit this model: {' '.join(str(e).split())}") from None

    def leave_if(self, stop: StopSignal) -> None:
        """Leave, saved, if a signal asked for it."""
        if stop.received is not None:
            raise stopped(stop.received, f"{stop.name}: saved after {self.progress()}; continue with {self.run.resume_command}")

    def progress(self) -> str:
        """How far training came, in words."""
        part = f" and {self.sums.samples} images of the next" if self.sums.samples else ""
        return f"{self.epoch} of {self.epochs} epochs{part}"

    def diverged(self, value: float, step: int) -> str:
        """The message about a loss that is no number."""
        rate = self.optimizer.param_groups[0]["lr"]
        return (f"training diverged: the loss is {value} at step {step} of epoch {self.epoch + 1} (learning rate {rate:.3g}); the "
                f"checkpoint of {self.run.folder} still holds {self.epoch} whole epochs. Start a new run with a smaller --lr, or another "
                "--dtype")
