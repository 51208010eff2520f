"""Parameters and buffers: the tensors that a module owns."""
from __future__ import annotations

from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module registers when it is assigned as an attribute: `self.weight = Parameter(rand(3, 4))`.

    It shares the memory of `data`, is a leaf and requires grad unless told otherwise.
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True):
        if data is None:
            super().__init__()
        elif isinstance(data, Tensor):
            self.array, self.device = data.array, data.device
        else:
            raise TypeError(f"Parameter: data must be a Tensor, not a {type(data).__name__}; tensorgrad.tensor(...) makes one")
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that a module registers as a buffer when it is assigned as an attribute; `persistent` ones are in its state_dict."""

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True):
        if data is None:
            super().__init__()
        else:
            self.array, self.device = data.array, data.device
        self.persistent = persistent
