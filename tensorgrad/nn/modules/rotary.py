"""Rotary position embeddings."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import dtypes
from ...creation import tensor
from ...tensor import Tensor
from .. import functional as F
from .module import Module


class RotaryEmbedding(Module):
    """Queries or keys (..., L, features) with pair i of position m turned by the angle m base^(-2 i / features).

    Positions count from `offset` on. The tables hold `positions` rows, in float32 also where the module is converted to half precision.
    `interleaved` as in `nn.functional.rotary_embedding`. Su et al., "RoFormer", arXiv:2104.09864, equation 34.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, features: int, positions: int, base: float = 10000.0, interleaved: bool = False, device: Any = None,
                 dtype: Any = None):
        super().__init__()
        if features < 2 or features % 2:
            raise ValueError(f"RotaryEmbedding: features must be even and positive, got {features}")
        self.features, self.positions, self.base, self.interleaved = features, positions, base, interleaved
        self._make(device, dtypes.as_dtype(dtype or dtypes.get_default_dtype()))

    def _make(self, device: Any, dtype: Any) -> None:
        """The tables, from angles in float64: of large positions float32 has no digits left for them."""
        angles = np.outer(np.arange(self.positions), self.base ** (-np.arange(0, self.features, 2) / self.features))
        kind = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
        for name, table in (("cos", np.cos(angles)), ("sin", np.sin(angles))):
            self.register_buffer(name, tensor(table, dtype=kind, device=device), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self._make(self.cos.device, self.cos.dtype)
        return self

    def forward(self, input: Tensor, offset: int = 0) -> Tensor:
        return F.rotary_embedding(input, self.cos, self.sin, offset, interleaved=self.interleaved)

    def extra_repr(self) -> str:
        return f"{self.features}, positions={self.positions}, base={self.base}, interleaved={self.interleaved}"
