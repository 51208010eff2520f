"""`tensorgrad.jit`: decorators that code written for TorchScript carries. Functions stay the Python functions they are.

`script` and the marks give back what they are given; `trace`, whose result would be a recording of one call, is refused.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from . import missing

F = TypeVar("F")


def script(obj: F, optimize: None = None, _frames_up: int = 0, _rcb: None = None, example_inputs: None = None) -> F:
    """`obj`, a function, class or module, as it is."""
    if optimize is not None or example_inputs is not None:
        raise TypeError("jit.script: optimize and example_inputs are not supported: nothing is compiled here")
    return obj


def script_method(function: F) -> F:
    """The method as it is."""
    return function


def export(function: F) -> F:
    """The method as it is."""
    return function


def unused(function: F) -> F:
    """The method as it is."""
    return function


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function as it is; also as a decorator with arguments."""
    if kwargs:
        raise TypeError(f"jit.ignore: unknown argument {', '.join(kwargs)}")
    return drop if callable(drop) else lambda function: function


def is_scripting() -> bool:
    """False: code always runs as Python."""
    return False


def is_tracing() -> bool:
    """False: nothing is recorded."""
    return False


def annotate(the_type: Any, the_value: F) -> F:
    """`the_value`."""
    return the_value


def trace(func: Callable, example_inputs: Any = None, **kwargs: Any) -> Any:
    """NotImplementedError: a trace would forget the branches that the example does not take. Call the function itself."""
    raise NotImplementedError("jit.trace: there is no tracing; call the function itself, or jit.script it, which leaves it as it is")


Final = type("Final", (), {"__class_getitem__": classmethod(lambda cls, kind: kind), "__doc__": "An annotation: `Final[int]` is `int`."})


class ScriptModule:
    """Not to be had: derive from nn.Module."""

    def __init__(self) -> None:
        raise NotImplementedError("jit.ScriptModule: there are no scripted modules; derive from nn.Module")


__getattr__ = missing.of(__name__)
