"""Whether operations are recorded: `no_grad`, `enable_grad` and relatives. The mode belongs to the thread."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .graph import MODE

F = TypeVar("F", bound=Callable[..., Any])


class _Switch:
    """A grad mode as context manager and decorator."""

    value = True

    def __enter__(self) -> None:
        self._before = MODE.enabled
        MODE.enabled = self.value

    def __exit__(self, *exc: object) -> None:
        MODE.enabled = self._before

    def __call__(self, fn: F) -> F:
        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = MODE.enabled
            MODE.enabled = self.value
            try:
                return fn(*args, **kwargs)
            finally:
                MODE.enabled = before

        return wrapped  # type: ignore[return-value]


class no_grad(_Switch):
    """Nothing is recorded inside: `with no_grad():` or `@no_grad()`."""

    value = False

    def __new__(cls, fn: Callable | None = None) -> Any:
        return object.__new__(cls) if fn is None else object.__new__(cls)(fn)


inference_mode = no_grad


class enable_grad(no_grad):
    """Recording is on inside, also within `no_grad`."""

    value = True


class set_grad_enabled(_Switch):
    """Recording on or off, at once and as a context manager."""

    def __init__(self, mode: bool):
        self.value = bool(mode)
        self._before = MODE.enabled
        MODE.enabled = self.value

    def __enter__(self) -> None:
        MODE.enabled = self.value


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return MODE.enabled
