"""dropout1d, dropout2d, dropout3d: whole channels dropped at random."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor
from .drop import check_dims


class Dropout1d(Op):
    """In training each channel, `input` being (N, C, L) or (C, L), becomes 0 with probability p, the others are divided by 1 - p."""

    name = "dropout1d"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        check_dims("dropout1d", input, (2, 3), "(N, C, L) or (C, L)")
        return fn.drop.op.scaled("dropout1d", input, p, training, inplace, 1)


class Dropout2d(Op):
    """In training each channel of `input` (N, C, H, W) becomes 0 with probability p, the others are divided by 1 - p.

    As in PyTorch an input of 3 dims is (N, C, L), not an image without a batch. Tompson et al., "Efficient object localization
    using convolutional networks", 2015.
    """

    name = "dropout2d"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        check_dims("dropout2d", input, (3, 4), "(N, C, H, W) or (N, C, L)")
        return fn.drop.op.scaled("dropout2d", input, p, training, inplace, input.array.ndim - 2)


class Dropout3d(Op):
    """In training each channel, `input` being (N, C, D, H, W) or (C, D, H, W), becomes 0 with probability p, the others are
    divided by 1 - p."""

    name = "dropout3d"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        check_dims("dropout3d", input, (4, 5), "(N, C, D, H, W) or (C, D, H, W)")
        return fn.drop.op.scaled("dropout3d", input, p, training, inplace, 3)
