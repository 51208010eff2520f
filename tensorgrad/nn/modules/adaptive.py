"""A softmax over many classes, of which frequent ones are cheap."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...op import fn
from ...tensor import Tensor
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class ASMoutput(NamedTuple):
    """What AdaptiveLogSoftmaxWithLoss returns: the log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Classes sorted by frequency in clusters that end at `cutoffs`: the first is in the head, which knows the others as one class each.

    ln p(class) = ln p(cluster) + ln p(class | cluster); cluster i sees in_features / div_value^i features. input (N, in_features),
    target (N,) classes. Grave et al., "Efficient softmax approximation for GPUs", ICML 2017.
    """

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False,
                 device: Any = None, dtype: Any = None):
        super().__init__()
        cuts = list(cutoffs)
        if not cuts or cuts != sorted(set(cuts)) or cuts[0] <= 0 or cuts[-1] > n_classes - 1 or any(int(c) != c for c in cuts):
            raise ValueError(f"AdaptiveLogSoftmaxWithLoss: cutoffs must be growing ints from 1 to n_classes - 1 = {n_classes - 1}, got "
                             f"{cuts}")
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cuts, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        make = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **make)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(Sequential(Linear(in_features, hidden, bias=False, **make), Linear(hidden, high - low, bias=False, **make)))

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        for layer in (self.head, *(part for pair in self.tail for part in pair)):
            layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        if target_.ndim not in (0, 1) or tuple(input_.shape) != (*target_.shape, self.in_features):
            raise RuntimeError(f"AdaptiveLogSoftmaxWithLoss: expected input (N, {self.in_features}) and target (N,), got "
                               f"{tuple(input_.shape)} and {tuple(target_.shape)}")
        x, target = (input_, target_) if target_.ndim else (input_.unsqueeze(0), target_.unsqueeze(0))
        if target.numel() and (target.min().item() < 0 or target.max().item() >= self.n_classes):
            raise RuntimeError(f"AdaptiveLogSoftmaxWithLoss: target goes from {target.min().item()} to {target.max().item()}, there are "
                               f"{self.n_classes} classes")
        head = F.log_softmax(self.head(x), 1)
        place = fn.where(target < self.shortlist_size, target, 0)
        found = head.gather(1, place.unsqueeze(1)).squeeze(1)
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel():
                inside = F.log_softmax(self.tail[i](x.index_select(0, rows)), 1)
                own = inside.gather(1, (target.index_select(0, rows) - low).unsqueeze(1)).squeeze(1)
                found = found.index_copy(0, rows, own + head.index_select(0, rows)[:, self.shortlist_size + i])
        output = found if target_.ndim else found.squeeze(0)
        return ASMoutput(output, -found.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes, (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, :self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            parts.append(F.log_softmax(tail(input), 1) + head[:, self.shortlist_size + i].unsqueeze(1))
        return fn.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row."""
        return self.log_prob(input).argmax(1)
