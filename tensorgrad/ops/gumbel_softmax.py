"""gumbel_softmax: differentiable samples from a categorical distribution."""
from __future__ import annotations

from ..op import Op, fn
from ..tensor import Tensor


class GumbelSoftmax(Op):
    """softmax((logits + g) / tau) along `dim`, with g = -ln(-ln u) drawn anew at each call.

    `hard` gives the one-hot vector of the largest entry, with the gradient of the soft one. ValueError for tau <= 0.
    Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017.
    """

    name = "gumbel_softmax"
    function = method = False
    functional = True
    composite = True
    tested_in = "tests/test_losses.py"

    def forward(self, logits: Tensor, tau: float = 1, hard: bool = False, dim: int = -1) -> Tensor:
        if not tau > 0:
            raise ValueError(f"gumbel_softmax: tau must be above 0, got {tau}")
        noise = logits.new_empty(tuple(logits.shape)).exponential_().log()
        soft = fn.softmax((logits - noise) / tau, dim)
        if not hard:
            return soft
        one_hot = soft.new_zeros(tuple(soft.shape)).scatter(dim, soft.detach().argmax(dim, keepdim=True), 1.0)
        return one_hot - soft.detach() + soft
