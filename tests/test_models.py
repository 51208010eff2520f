"""The networks in models/: shapes, settings, errors, and that they learn."""
from __future__ import annotations

import pytest

import tensorgrad as tg
from tensorgrad import nn, optim
from tensorgrad.models.cnn import CNN
from tensorgrad.models.mlp import MLP, Perceptron


def test_shapes():
    assert Perceptron(12, 3)(tg.ones(2, 3, 4)).shape == (2, 3)
    assert MLP(12, (8, 5), 3, dropout=0.1)(tg.ones(2, 3, 4)).shape == (2, 3)
    assert MLP(12, (), 3)(tg.ones(2, 12)).shape == (2, 3)
    assert CNN(8, widths=(4, 8), dense=16)(tg.ones(2, 1, 8, 8)).shape == (2, 10)
    assert CNN(28, 3, 7, widths=(4, 4, 4), dense=16)(tg.ones(2, 3, 28, 28)).shape == (2, 7)


def test_cnn_predicts_probabilities_and_keeps_its_mode():
    m = CNN(8, widths=(4,), dense=8)
    p = m.predict(tg.rand(5, 1, 8, 8))
    assert p.shape == (5, 10)
    assert abs(p.sum(1) - 1).max().item() < 1e-6
    assert m.training
    assert not p.requires_grad


def test_wrong_images_and_sizes():
    with pytest.raises(ValueError, match=r"CNN: images have shape \(2, 3, 8, 8\), expected \(B, 1, 8, 8\)"):
        CNN(8)(tg.ones(2, 3, 8, 8))
    with pytest.raises(ValueError, match="cannot be halved 4 times"):
        CNN(8, widths=(4, 4, 4, 4))


def test_cnn_learns_to_tell_stripes():
    tg.manual_seed(0)
    x = tg.zeros(8, 1, 8, 8)
    x[:4, :, ::2] = 1.0
    x[4:, :, :, ::2] = 1.0
    y = tg.tensor([0] * 4 + [1] * 4)
    m = CNN(8, classes=2, widths=(4,), dense=8)
    optimizer = optim.Adam(m.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(m(x), y).backward()
        optimizer.step()
    assert m.predict(x).argmax(1).tolist() == y.tolist()
