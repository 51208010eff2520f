"""Ctrl-C, SIGTERM and a terminal that is closed while training: finish the step, save, leave."""
from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from ...errors import UserError


class Interrupted(UserError):
    """A signal ended training."""


def stopped(number: int, message: str) -> Interrupted:
    """The error of a program that a signal ended; its exit code is the shell's for that."""
    error = Interrupted(message)
    error.exit_code = 128 + number
    return error


class StopSignal:
    """While it is entered, SIGINT, SIGTERM and SIGHUP only set `received`; a second one ends the program at once.

    A signal that is ignored stays so: `nohup` is there to outlive the terminal.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            heeded = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]
            self._before = {s: signal.signal(s, self._handle) for s in heeded}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise stopped(number, f"{signal.Signals(number).name}, twice: stopped at once; the last checkpoint is whole")
        self.received = number

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.received).name if self.received is not None else ""
