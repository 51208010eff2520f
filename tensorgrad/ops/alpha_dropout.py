"""alpha_dropout and feature_alpha_dropout: dropout that keeps mean 0 and variance 1, for networks of SELUs."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor
from .drop import check_dims


class AlphaDropout(Op):
    """In training y = a x + b with probability 1 - p and y = b - a alpha otherwise, where alpha = 1.7581 is the negative limit of SELU
    with its sign changed, a = 1 / sqrt((1 - p) (1 + p alpha^2)) and b = a alpha p: input of mean 0 and variance 1 keeps both.

    Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    name = "alpha_dropout"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
        return fn.drop.op.alpha("alpha_dropout", input, p, training, inplace)


class FeatureAlphaDropout(Op):
    """alpha_dropout of whole channels of `input` (N, C, *)."""

    name = "feature_alpha_dropout"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_dropout.py"

    def forward(self, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
        if not training:
            return input
        check_dims("feature_alpha_dropout", input, tuple(range(2, 17)), "(N, C, ...)")
        return fn.drop.op.alpha("feature_alpha_dropout", input, p, training, inplace, input.array.ndim - 2)
