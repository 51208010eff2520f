"""What training shows: a progress bar on a terminal, one line per epoch elsewhere."""
from __future__ import annotations

import sys
from typing import Any


def words(figures: dict[str, float]) -> str:
    """`loss 0.1234 acc 98.76%`: shares as percentages."""
    return " ".join(f"{name} {value:.2%}" if name.endswith("acc") else f"{name} {value:.4f}" for name, value in figures.items())


class Display:
    """Shows an epoch's batches as they pass, then the epoch's figures. Use as a context manager."""

    def __init__(self, epochs: int):
        self.epochs = epochs
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Display:
        if sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
                                 TimeRemainingColumn(), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def epoch(self, number: int, batches: int, done: int) -> None:
        """A new epoch begins, or one goes on after `done` batches."""
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(f"epoch {number}/{self.epochs}", total=batches, completed=done, figures="")

    def batch(self, done: int, figures: dict[str, float], rate: float) -> None:
        """A batch is done: means over the epoch so far."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, figures=f"{words(figures)}  {rate:,.0f} samples/s")

    def line(self, text: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)
