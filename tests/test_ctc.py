"""ctc_loss: gradients through log_softmax, against PyTorch's on log-probabilities themselves, and what is refused."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.autograd import gradcheck
from tensorgrad.nn import functional as F

STEPS, ROWS, CLASSES = 9, 4, 5
LENGTHS = (9, 7, 4, 9)
TARGETS = [([1, 2, 2, 4], 4), ([3, 1, 0, 0], 2), ([2, 2, 2, 0], 3), ([0, 0, 0, 0], 0)]  # the third needs 5 steps and has 4


def scores(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, ROWS, CLASSES))


def flat():
    return [c for labels, size in TARGETS for c in labels[:size]]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gradient_through_log_softmax(reduction):
    labels, sizes = tg.tensor([t for t, _ in TARGETS]), [n for _, n in TARGETS]
    assert gradcheck(lambda x: F.ctc_loss(F.log_softmax(x, -1), labels, LENGTHS, sizes, 0, reduction, True),
                     [tg.tensor(scores()).requires_grad_()])


@pytest.mark.parametrize(("reduction", "zero_infinity", "concatenated", "kind"), [
    *itertools.product(("none", "mean", "sum"), (True, False), (True, False), ("float64",)), ("mean", True, False, "float32")])
def test_agrees_with_pytorch(reduction, zero_infinity, concatenated, kind):
    torch = pytest.importorskip("torch")
    x = F.log_softmax(tg.tensor(scores()), -1).numpy().astype(kind)
    labels, sizes = flat() if concatenated else [t for t, _ in TARGETS], [n for _, n in TARGETS]
    ours, theirs = tg.tensor(x).requires_grad_(), torch.tensor(x).requires_grad_()
    mine = nn.CTCLoss(reduction=reduction, zero_infinity=zero_infinity)(ours, tg.tensor(labels), tg.tensor(LENGTHS), tg.tensor(sizes))
    other = torch.nn.CTCLoss(reduction=reduction, zero_infinity=zero_infinity)(
        theirs, torch.tensor(labels), torch.tensor(LENGTHS), torch.tensor(sizes))
    tolerance = 1e-9 if kind == "float64" else 1e-5
    assert mine.shape == tuple(other.shape)
    assert np.allclose(mine.detach().numpy(), other.detach().numpy(), rtol=tolerance)
    weights = np.arange(1.0, ROWS + 1).astype(kind) if reduction == "none" else np.ones((), kind)
    (mine * tg.tensor(weights)).sum().backward()
    (other * torch.tensor(weights)).sum().backward()
    assert np.allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=tolerance, atol=tolerance, equal_nan=True)


def test_one_sequence_without_a_batch():
    torch = pytest.importorskip("torch")
    x = F.log_softmax(tg.tensor(scores()[:, 0]), -1)
    mine = F.ctc_loss(x, tg.tensor([1, 2]), tg.tensor(9), tg.tensor(2))
    other = torch.nn.functional.ctc_loss(torch.tensor(x.numpy()), torch.tensor([1, 2]), torch.tensor(9), torch.tensor(2))
    assert mine.shape == ()
    assert np.isclose(mine.item(), other.item())


def test_a_long_sequence_does_not_underflow():
    x = F.log_softmax(tg.randn(400, 1, 30, generator=tg.Generator().manual_seed(0)), -1).requires_grad_()
    loss = F.ctc_loss(x, tg.randint(1, 30, (1, 60), generator=tg.Generator().manual_seed(1)), (400,), (60,), reduction="sum")
    loss.backward()
    assert 100 < loss.item() < 2000
    assert np.allclose(x.grad.numpy().sum(-1), 0, atol=1e-5)  # each step's shares add up to its probabilities


def test_second_derivatives_are_refused():
    x = F.log_softmax(tg.tensor(scores()), -1).requires_grad_()
    loss = F.ctc_loss(x, tg.tensor([t for t, _ in TARGETS]), LENGTHS, (4, 2, 1, 0))
    (g,) = tg.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(NotImplementedError, match="ctc_loss: there are no second derivatives"):
        g.sum().backward()


@pytest.mark.parametrize(("labels", "sizes", "message"), [
    ([1, 2, 9], (2, 1), "targets go from 0 to 9, log_probs has 5 classes"), ([1, 2, 3], (2, 2), "add up to 4, there are 3 labels"),
    ([[1, 2], [3, 4], [1, 1]], (2, 2), "targets must be integers"), ([[1.0, 2.0], [3.0, 4.0]], (2, 2), "targets must be integers"),
    ([1, 2], (3, -1), "must not be negative")])
def test_wrong_targets(labels, sizes, message):
    x = F.log_softmax(tg.tensor(scores()[:, :2]), -1)
    with pytest.raises(RuntimeError, match=message):
        F.ctc_loss(x, tg.tensor(labels), (9, 9), sizes)
