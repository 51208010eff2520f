"""What an op is called with: the tensors among its arguments, what each should be, and the error that says what is wrong."""
from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .tensor import Tensor

if TYPE_CHECKING:
    from .op import Op

TENSOR_KINDS = ("Tensor", "Tensor | None", "Operand", "Sequence[Tensor]")


def kind_of(parameter: inspect.Parameter) -> str:
    """The annotation of a parameter of `forward`, as it is written."""
    return parameter.annotation if isinstance(parameter.annotation, str) else ""


def tensors_among(args: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among an op's arguments, those in lists too."""
    for a in args:
        if isinstance(a, Tensor):
            yield a
        elif isinstance(a, (list, tuple)):
            yield from tensors_among(a)


def mixed_devices(op: Op, args: tuple) -> RuntimeError | None:
    """The error to raise where the tensors of a call are on several devices."""
    names = [p.name for p in inspect.signature(op.forward).parameters.values() if p.name != "ctx"]
    found = [(name, t.device) for name, a in zip(names, args, strict=False) for t in tensors_among([a])]
    for name, where in found[1:]:
        if where is not found[0][1]:
            return RuntimeError(f"{op.name}: {found[0][0]} is on {found[0][1]} but {name} is on {where}; move one with .to(...)")
    return None


def explain(op: Op, args: tuple, error: Exception) -> Exception:
    """The error to raise when one came from an argument that is no Tensor, or no number, where one is due; else that error itself."""
    if str(error).startswith(f"{op.name}: "):
        return error
    mixed = mixed_devices(op, args)
    if mixed is not None:
        return mixed
    params = [p for p in inspect.signature(op.forward).parameters.values() if p.name != "ctx"]
    for p, a in zip(params, args, strict=True):
        kind = kind_of(p)
        ok = isinstance(a, Tensor) or (kind == "Tensor | None" and a is None) or (kind == "Operand" and is_number(a))
        if kind == "Sequence[Tensor]":
            ok = isinstance(a, (list, tuple)) and all(isinstance(t, Tensor) for t in a)
        if (kind == "float" and not is_number(a) and not isinstance(a, Tensor)) or (kind == "int" and not hasattr(a, "__index__")):
            return TypeError(f"{op.name}: {p.name} must be a number{' without fraction' if kind == 'int' else ''}, not {a!r}")
        if kind in TENSOR_KINDS and not ok and not (a is None and p.default is None):
            what = f"a {type(a).__name__}"
            if isinstance(a, (list, tuple)):
                what += " of " + ", ".join(sorted({type(t).__name__ for t in a}))
            hint = "; tensorgrad.tensor(...) makes one" if isinstance(a, (np.ndarray, list)) else ""
            return TypeError(f"{op.name}: {p.name} must be a {kind}, not {what}{hint}")
    return error


def sizes(op: Op, name: str, given: tuple) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence, as a tuple of ints."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    for g in given:
        if g.__class__ is not int:
            break
    else:
        return given
    try:
        return tuple([int(g) if isinstance(g, Tensor) else g.__index__() for g in given])
    except (AttributeError, TypeError):
        raise TypeError(f"{op.name}: {name} must be ints, got {given!r}") from None


def is_number(value: Any) -> bool:
    """Whether `value` is a Python or NumPy number."""
    return isinstance(value, (int, float, np.number, np.bool_))
