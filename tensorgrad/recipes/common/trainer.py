"""The training loop: train an epoch, validate, save; at the end, the test.

What is trained is a `Task`: a model with its optimizer and schedule, the loss of a batch, and how to validate. All that decides how
training goes on lives in `state()`: stored after each epoch, and in the middle of one when asked to stop, it makes a resumed run equal
to an uninterrupted one bit for bit.
"""
from __future__ import annotations

import math
import time
from typing import Any

from ... import random
from ...data import DataLoader
from ...errors import UserError
from ...nn import Module
from ...nn.utils import clip_grad_norm_
from ...optim import Optimizer
from ...optim.lr_scheduler import LRScheduler
from ...tensor import Tensor
from .display import Display, words
from .run import Run, Stopped
from .signals import StopSignal, stopped

Sums = dict[str, float]


class Task:
    """What a recipe trains. `unit` is what a sample is; `clip` the longest gradient of all parameters together, None for any."""

    unit = "images"
    clip: float | None = None

    def __init__(self, model: Module, optimizer: Optimizer, scheduler: LRScheduler | None):
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler

    def loss(self, batch: Any) -> tuple[Tensor, Sums]:
        """The loss to go down, and sums over the batch: `samples`, how many it has, `loss`, and other figures to show."""
        raise NotImplementedError

    def validate(self) -> Sums:
        """Figures on the validation data."""
        raise NotImplementedError

    def test(self) -> Sums:
        """Figures on the test data, once at the end; none where there is no such data."""
        return {}

    def epoch_done(self, epoch: int) -> None:
        """Called after an epoch was validated, with the number of epochs done."""

    def step(self, batch: Any) -> Sums:
        """Train on a batch; the sums of `loss`. A loss that is no number changes nothing."""
        self.optimizer.zero_grad()
        loss, sums = self.loss(batch)
        if math.isfinite(sums["loss"]):
            loss.backward()
            if self.clip is not None:
                clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()
        return sums

    def parts(self) -> dict[str, Any]:
        """What has a state, by its name in the checkpoint."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return {name: part for name, part in parts.items() if part is not None}


class Trainer:
    """Trains a task for so many epochs, into a run's folder."""

    def __init__(self, run: Run, task: Task, epochs: int):
        self.run, self.task, self.epochs = run, task, epochs
        self.epoch = 0  # epochs done
        self.sums: Sums = {}  # over the part of an epoch that is done
        self.seconds = 0.0  # that it took
        self.history: list[dict[str, Any]] = []  # the lines of metrics.jsonl

    def fit(self, loader: DataLoader) -> dict[str, Any]:
        """Train what is left of the epochs, then test; saves as it goes. The last line of the metrics."""
        stored = self.run.load() if self.run.resumed else None
        if stored is not None:
            self.restore(stored, loader)
        else:
            self.run.save(self.state(loader))
        self.run.write_metrics(self.history)
        with StopSignal() as stop, Display(self.epochs) as display:
            while self.epoch < self.epochs:
                self.train_epoch(loader, stop, display)
                self.finish_epoch(loader, display)
                self.leave_if(stop)
        self.finish(loader)
        return self.history[-1]

    def train_epoch(self, loader: DataLoader, stop: StopSignal, display: Display) -> None:
        """One pass over the training data, or what is left of it."""
        began = time.perf_counter() - self.seconds
        display.epoch(self.epoch + 1, len(loader), loader.position)
        self.task.model.train()
        for batch in loader:
            sums = self.task.step(batch)
            if not math.isfinite(sums["loss"]):
                raise Stopped(self.diverged(sums["loss"], loader.position))
            for name, value in sums.items():
                self.sums[name] = self.sums.get(name, 0) + value
            self.seconds = time.perf_counter() - began
            display.batch(loader.position, means(self.sums), self.sums["samples"] / self.seconds)
            if stop.received is not None and loader.position < len(loader):
                self.run.save(self.state(loader))
                self.leave_if(stop)

    def finish_epoch(self, loader: DataLoader, display: Display) -> None:
        """Validate, note the epoch's figures, save."""
        seen, trained, samples, seconds = self.task.validate(), means(self.sums), self.sums["samples"], self.seconds
        self.epoch, self.sums, self.seconds = self.epoch + 1, {}, 0.0
        rate = samples / seconds
        figures = {**{f"train_{k}": v for k, v in trained.items()}, **{f"val_{k}": v for k, v in seen.items()}}
        self.history.append({"epoch": self.epoch, **figures,
                             "seconds": round(seconds, 3), "samples_per_s": round(rate, 1)})
        self.task.epoch_done(self.epoch)
        self.run.save(self.state(loader))
        self.run.write_metrics(self.history)
        validated = f"  val {words(seen)}" if seen else ""
        display.line(f"epoch {self.epoch}/{self.epochs}  train {words(trained)}{validated}  {seconds:.1f} s  "
                     f"{rate:,.0f} samples/s")

    def finish(self, loader: DataLoader) -> None:
        """Test; the figures go into the metrics once."""
        figures = {f"test_{k}": v for k, v in self.task.test().items()}
        if figures and not figures.keys() <= (self.history[-1] if self.history else {}).keys():
            self.history.append({"epoch": self.epoch, **figures})
            self.run.save(self.state(loader))
            self.run.write_metrics(self.history)

    def state(self, loader: DataLoader) -> dict[str, Any]:
        """Everything a checkpoint holds."""
        return {**{name: part.state_dict() for name, part in self.task.parts().items()}, "loader": loader.state_dict(),
                "random": random.state_dict(), "epoch": self.epoch, "sums": self.sums, "seconds": self.seconds, "history": self.history}

    def restore(self, state: dict[str, Any], loader: DataLoader) -> None:
        """Go on from a checkpoint; UserError where it is of another model."""
        lacks = ", ".join(sorted(self.state(loader).keys() - state.keys()))
        if lacks:
            raise UserError(f"{self.run.folder}: its checkpoint is not one of a training run: it lacks {lacks}")
        try:
            for name, part in self.task.parts().items():
                part.load_state_dict(state[name])
            loader.load_state_dict(state["loader"])
            random.load_state_dict(state["random"])
            self.epoch, self.sums, self.seconds = state["epoch"], dict(state["sums"]), state["seconds"]
            self.history = list(state["history"])
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as e:
            raise UserError(f"{self.run.folder}: its checkpoint does not fit this model: {' '.join(str(e).split())}") from None

    def leave_if(self, stop: StopSignal) -> None:
        """Leave, saved, if a signal asked for it."""
        if stop.received is not None:
            raise stopped(stop.received, f"{stop.name}: saved after {self.progress()}; continue with {self.run.resume_command}")

    def progress(self) -> str:
        """How far training came, in words."""
        part = f" and {self.sums['samples']:.0f} {self.task.unit} of the next" if self.sums else ""
        return f"{self.epoch} of {self.epochs} epochs{part}"

    def diverged(self, value: float, step: int) -> str:
        """The message about a loss that is no number."""
        rate = self.task.optimizer.param_groups[0]["lr"]
        return (f"training diverged: the loss is {value} at step {step} of epoch {self.epoch + 1} (learning rate {rate:.3g}); the "
                f"checkpoint of {self.run.folder} still holds {self.epoch} whole epochs. Start a new run with a smaller --lr, or another "
                "--dtype")


def means(sums: Sums) -> Sums:
    """Sums divided by the number of samples."""
    return {name: value / sums["samples"] for name, value in sums.items() if name != "samples"}
