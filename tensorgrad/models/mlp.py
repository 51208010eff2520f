"""Fully connected networks: the perceptron and the multi-layer perceptron.

The perceptron (Rosenblatt, 1958) is one linear layer: it separates classes by a hyperplane and nothing else, so XOR, whose
classes no line separates, is beyond it (Minsky and Papert, 1969). One hidden layer with a non-linearity is enough.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import nn
from ..tensor import Tensor


class Perceptron(nn.Module):
    """One linear layer: scores (B, classes) of inputs (B, ...), which are flattened."""

    def __init__(self, inputs: int, classes: int = 2):
        super().__init__()
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))  # (B, classes)


class MLP(nn.Module):
    """Linear layers with a non-linearity (and dropout) between them: scores (B, classes) of inputs (B, ...), which are flattened.

    `hidden` lists the widths between input and output: `MLP(784, (256, 64), 10)`.
    """

    def __init__(self, inputs: int, hidden: Sequence[int] = (64,), classes: int = 2, activation: Callable[[], nn.Module] = nn.ReLU,
                 dropout: float = 0.0):
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(inputs, width), activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.flatten(1)))  # (B, classes)
