"""`tensorgrad.nn.functional`: every op that declares itself `functional`, and the few functions that exist only here.

An op with an in-place twin takes `inplace=` here as its last argument, as PyTorch's activations do; the twin is here too: `F.relu_`.
"""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .. import dispatch, missing
from .. import ops as ops
from ..op import Op, fn
from ..tensor import Tensor


def _with_inplace(op: Op) -> Callable[..., Tensor]:
    """The op's function with one more argument, `inplace`, at the end."""
    out_of_place, in_place = op.call, getattr(Tensor, op.name + "_")
    last = len(inspect.signature(out_of_place).parameters)  # where inplace stands when given by position

    @functools.wraps(out_of_place)
    def function(*args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        if len(args) == last + 1:
            args, inplace = args[:-1], args[-1]
        return (in_place if inplace else out_of_place)(*args, **kwargs)

    return function


def _offer() -> None:
    for op in list(dispatch._ops.values()):
        if op.functional:
            own = op.inplace and "inplace" not in inspect.signature(op.call).parameters
            for name in (op.name, *op.aliases):
                globals().setdefault(name, _with_inplace(op) if own else op.call)
            if op.inplace:
                globals().setdefault(op.name + "_", getattr(Tensor, op.name + "_"))
            if "return_indices" in inspect.signature(op.call).parameters:  # PyTorch's other name for a pool that gives them
                globals().setdefault(op.name + "_with_indices", functools.partial(op.call, return_indices=True))


_offer()


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` by nearest neighbours."""
    return fn.interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` of images with the corners aligned, bilinear."""
    return fn.interpolate(input, size, scale_factor, "bilinear", True)


__getattr__ = missing.of(__name__)
