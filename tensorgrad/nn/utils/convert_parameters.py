"""All parameters as one vector, and back."""
from __future__ import annotations

from collections.abc import Iterable

from ...graph import version_cell
from ...op import fn
from ...tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The parameters' elements, one after the other, in one vector."""
    return fn.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Overwrite the parameters by the parts of a vector, in order."""
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if not isinstance(vec, Tensor) or vec.numel() != total:
        found = f"{vec.numel()} elements" if isinstance(vec, Tensor) else f"a {type(vec).__name__}"
        raise ValueError(f"vector_to_parameters: the parameters have {total} elements; expected a vector of as many, got {found}")
    flat, at = vec.detach().reshape(-1), 0
    for p in parameters:
        with p.device.active():
            p.array[...] = flat.array[at:at + p.numel()].reshape(p.array.shape)
        version_cell(p)[0] += 1
        at += p.numel()
