"""The run folder: settings, metrics, checkpoint and pictures of one training run.

Nothing in it is ever half written: a file is written beside its place, flushed to the disk and then renamed. The metrics are also in the
checkpoint, so that a run that was killed continues with exactly the lines that belong to it.
"""
from __future__ import annotations

import contextlib
import fcntl
import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ... import serialization
from ...atomic import write_atomic
from ...errors import UserError
from .. import NAMES

CONFIG, METRICS, CHECKPOINT, LOCK = "config.json", "metrics.jsonl", "checkpoint.safetensors", ".lock"


class Stopped(UserError):
    """Training ended early; the message says why and how to continue."""

    exit_code = 1


class Run:
    """One run folder. `settings` is what config.json holds: empty until `begin`, or read from a run that is resumed."""

    def __init__(self, folder: Path, recipe: str, resumed: bool):
        self.folder, self.recipe, self.resumed = folder, recipe, resumed
        self.settings: dict[str, Any] = {}
        self._lock: TextIO | None = None

    @classmethod
    def new(cls, out: str | None, recipe: str) -> Run:
        """A run that will be written to `out`, by default runs/<recipe>-<time>; UserError where that holds a run already."""
        if out == "":
            raise UserError("--out: the name of a folder is expected, and it is empty")
        folder = Path("runs") / time.strftime(f"{recipe}-%Y%m%d-%H%M%S") if out is None else Path(out)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; --out takes a folder")
        found = [name for name in (CONFIG, METRICS, CHECKPOINT) if (folder / name).exists()]
        if found:
            raise UserError(f"{folder} already holds a run ({', '.join(found)}): continue it with --resume {shlex.quote(str(folder))}, or "
                            "choose another --out")
        return cls(folder, recipe, resumed=False)

    @classmethod
    def open(cls, folder: str, recipe: str | None = None) -> Run:
        """The run in a folder; UserError where there is none, or one of another recipe."""
        run = cls(Path(folder), recipe or "", resumed=True)
        path = run.folder / CONFIG
        try:
            run.settings = json.loads(path.read_text("utf-8"))
            found = run.settings["recipe"]
            if not isinstance(found, str) or not all(isinstance(run.settings[part], dict) for part in ("config", "data")):
                raise TypeError
        except FileNotFoundError:
            raise UserError(f"{folder} holds no run: there is no {path}") from None
        except OSError as e:
            raise UserError(f"{path}: {e.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} is damaged: JSON with recipe, config and data is expected") from None
        if recipe and found != recipe:
            raise UserError(f"{folder} is a run of the recipe {found!r}, not of {recipe!r}: tensorgrad train {found} --resume "
                            f"{shlex.quote(folder)}")
        if found not in NAMES:
            raise UserError(f"{path}: the recipe is {found!r}; there are: {', '.join(NAMES)}")
        run.recipe = found
        return run

    def begin(self, config: dict[str, Any], data: dict[str, Any], versions: dict[str, str]) -> None:
        """Start a new run's folder, or check that a resumed one has the same data."""
        if self.resumed:
            for key, found in data.items():
                before = self.settings["data"].get(key)
                if before != found:
                    raise UserError(f"{self.folder} was trained on other data: {key} was {before!r} and is now {found!r}; bring the old "
                                    "data back, or start a new run")
            with self.writing("the lock"):
                self.lock()
            return
        self.settings = {"recipe": self.recipe, "config": config, "data": data, "versions": versions}
        with self.writing("the run folder"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock()
            write_atomic(self.folder / CONFIG, [(json.dumps(self.settings, indent=2) + "\n").encode()])

    def lock(self) -> None:
        """UserError where another process trains in this folder."""
        self._lock = open(self.folder / LOCK, "w")  # noqa: SIM115  (held until `close`)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.folder}: another process is training in it") from None
        for left in self.folder.glob(".*.tmp"):  # of a write that was killed
            left.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            self._lock.close()

    @property
    def quoted(self) -> str:
        """The folder as a shell takes it."""
        return shlex.quote(str(self.folder))

    @property
    def resume_command(self) -> str:
        """What to type to continue."""
        return f"tensorgrad train {self.recipe} --resume {self.quoted}"

    def how_to_go_on(self, first: str = "") -> str:
        """What is left of a run that ends early, and what to type."""
        whole = (self.folder / CHECKPOINT).exists()
        return f"the last checkpoint is whole; {first}continue with {self.resume_command}" if whole else "nothing was trained yet"

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Turns a full disk, and all else that keeps a file from being written, into one clear error."""
        try:
            yield
        except OSError as e:
            raise Stopped(f"{self.folder}: {what} could not be written: {e.strerror or e}; {self.how_to_go_on('when that is mended, ')}"
                          ) from None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, in one step that either happens or does not."""
        with self.writing("the checkpoint"):
            serialization.save({**state, "settings": self.settings}, self.folder / CHECKPOINT)

    def load(self) -> dict[str, Any] | None:
        """The checkpoint, or None where the run ended before the first; UserError where it is lost, damaged or of other settings."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            if (self.folder / METRICS).exists():  # these are written after the first checkpoint
                raise UserError(f"{self.folder} has no checkpoint: {path.name} was removed; bring it back, or start a new run")
            return None
        try:
            state = serialization.load(path)
        except (ValueError, RuntimeError, OSError) as e:
            raise UserError(str(e) if str(path) in str(e) else f"{path}: {e}") from None
        if not isinstance(state, dict) or not {"model", "history", "settings"} <= state.keys():
            raise UserError(f"{path}: holds no training state (model, history, settings, ... are expected)")
        for part in ("config", "data"):
            for key, before in state["settings"][part].items():
                found = self.settings[part].get(key)
                if found != before:
                    raise UserError(f"{self.folder / CONFIG} was changed after training began: {part}.{key} is {found!r}, but the "
                                    f"checkpoint was made with {before!r}; change it back, or start a new run")
        return state

    def write_metrics(self, history: list[dict[str, Any]]) -> None:
        """Make metrics.jsonl hold exactly these lines."""
        with self.writing("the metrics"):
            write_atomic(self.folder / METRICS, [json.dumps(line).encode() + b"\n" for line in history])

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run."""
        with self.writing(name):
            write_atomic(self.folder / name, [content])

