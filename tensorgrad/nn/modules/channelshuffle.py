"""Interleaving groups of channels."""
from __future__ import annotations

from ...tensor import Tensor
from .. import functional as F
from .module import Module


class ChannelShuffle(Module):
    """(N, g n, ...) seen as (N, g, n, ...), transposed to (N, n, g, ...) and joined again. Zhang et al., CVPR 2018."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
