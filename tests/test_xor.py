"""XOR: no line separates its classes, so the perceptron fails; one hidden layer solves it."""
from __future__ import annotations

import pytest

import tensorgrad as tg
from tensorgrad import nn, optim
from tensorgrad.models.mlp import MLP, Perceptron

POINTS = tg.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LABELS = tg.tensor([0, 1, 1, 0])


def accuracy(model):
    """Share of the points whose right class leads. The perceptron ends with equal scores, where rounding would answer: a tie is wrong."""
    with tg.no_grad():
        scores = model(POINTS)
        lead = (scores[:, 1] - scores[:, 0]) * (LABELS * 2 - 1)
    return (lead > 1e-4).float().mean().item()


def best_accuracy(model, steps=400):
    """The best accuracy reached at any step of training, and the last one."""
    optimizer, best = optim.Adam(model.parameters(), lr=0.05), accuracy(model)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(POINTS), LABELS).backward()
        optimizer.step()
        best = max(best, accuracy(model))
    return best, accuracy(model)


@pytest.mark.parametrize("seed", range(5))
def test_the_perceptron_fails(seed):
    tg.manual_seed(seed)
    best, _ = best_accuracy(Perceptron(2))
    assert best <= 0.75


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_the_mlp_solves_it(seed, activation):
    tg.manual_seed(seed)
    _, final = best_accuracy(MLP(2, (16,), activation=activation))
    assert final == 1.0
