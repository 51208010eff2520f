"""Factorizations by what they must fulfil, and their gradients through what does not depend on signs."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import gradcheck, gradgradcheck
from tensorgrad.linalg import LinAlgError


def matrix(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape))


def close(a, b):
    assert a.shape == b.shape
    assert np.allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-10)


def symmetric(x):
    return (x + x.mT) / 2


@pytest.mark.parametrize("shape", [(4, 3), (3, 3), (2, 5, 2), (2, 4)])
def test_qr(shape):
    a = matrix(*shape)
    q, r = tg.linalg.qr(a)
    close(q @ r, a)
    close(q.mT @ q, tg.eye(q.shape[-1], dtype=tg.float64).expand((*q.shape[:-2], q.shape[-1], q.shape[-1])))
    close(r.triu(), r)
    x = a.requires_grad_()
    assert gradcheck(lambda t: [f.square() if i else f.abs() for i, f in enumerate(tg.linalg.qr(t))], [x])
    assert gradgradcheck(lambda t: tg.linalg.qr(t)[0].square() @ matrix(min(shape[-2:]), 1), [x])


def test_qr_modes():
    a = matrix(4, 2)
    assert [t.shape for t in tg.linalg.qr(a, "complete")] == [(4, 4), (4, 2)]
    assert [t.shape for t in tg.qr(a, some=False)] == [(4, 4), (4, 2)]
    assert tg.linalg.qr(a, "r").Q.numel() == 0
    close(tg.linalg.qr(a, "r").R.abs(), tg.linalg.qr(a).R.abs())
    with pytest.raises(RuntimeError, match="qr: mode must be 'reduced', 'complete' or 'r', not 'full'"):
        tg.linalg.qr(a, "full")
    with pytest.raises(RuntimeError, match="qr: no gradient for mode 'complete'"):
        tg.linalg.qr(a.requires_grad_(), "complete").R.sum().backward()


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3), (2, 3, 2)])
def test_svd(shape):
    a = matrix(*shape)
    u, s, vh = tg.linalg.svd(a, full_matrices=False)
    close(u * s.unsqueeze(-2) @ vh, a)
    close(s, tg.linalg.svdvals(a))
    full = tg.linalg.svd(a)
    close(full.U.mT @ full.U, tg.eye(shape[-2], dtype=tg.float64).expand(full.U.shape))
    close(full.Vh @ full.Vh.mT, tg.eye(shape[-1], dtype=tg.float64).expand(full.Vh.shape))
    u, s, v = tg.svd(a)
    close(u * s.unsqueeze(-2) @ v.mT, a)
    x = a.requires_grad_()
    assert gradcheck(lambda t: [f.square() for f in tg.linalg.svd(t, full_matrices=False)], [x])
    assert gradgradcheck(lambda t: tg.linalg.svdvals(t).log(), [x])


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4)])
@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh(shape, uplo):
    a = symmetric(matrix(*shape))
    w, v = tg.linalg.eigh(a, uplo)
    close(v * w.unsqueeze(-2) @ v.mT, a)
    close(w, tg.linalg.eigvalsh(a))
    x = matrix(*shape).requires_grad_()
    assert gradcheck(lambda t: [f.square() for f in tg.linalg.eigh(symmetric(t), uplo)], [x])
    assert gradgradcheck(lambda t: tg.linalg.eigvalsh(symmetric(t)).square(), [x])


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(upper):
    x = matrix(2, 3, 3).requires_grad_()

    def positive(t):
        return t @ t.mT + 3 * tg.eye(3, dtype=tg.float64)

    factor = tg.linalg.cholesky(positive(x), upper=upper)
    close(factor.mT @ factor if upper else factor @ factor.mT, positive(x))
    assert gradcheck(lambda t: tg.linalg.cholesky(positive(t), upper=upper), [x])
    assert gradgradcheck(lambda t: tg.linalg.cholesky(positive(t), upper=upper), [x])


@pytest.mark.parametrize(("m", "n"), [(5, 3), (3, 5), (3, 3)])
def test_lstsq(m, n):
    a, b = matrix(m, n), matrix(m, 2, seed=1)
    found = tg.linalg.lstsq(a, b)
    want = np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)
    close(found.solution, tg.tensor(want[0]))
    assert found.rank.item() == want[2]
    assert found.residuals.numel() == found.singular_values.numel() == 0
    found = tg.linalg.lstsq(a, b, driver="gelsd")
    close(found.singular_values, tg.tensor(want[3]))
    if m > n:
        close(found.residuals, tg.tensor(want[1]))
    else:
        assert found.residuals.numel() == 0
    assert gradcheck(lambda x, y: tg.linalg.lstsq(x, y).solution, [a.requires_grad_(), b.requires_grad_()])


def test_cond_is_the_norm_times_that_of_the_inverse():
    x = matrix(3, 3).requires_grad_()
    for p in ("fro", "nuc", 1, float("inf")):
        assert np.isclose(tg.linalg.cond(x, p).item(), np.linalg.cond(x.detach().numpy(), p))
        assert gradcheck(lambda t, p=p: tg.linalg.cond(t, p), [x])


def test_chain_matmul():
    a, b, c = matrix(2, 3), matrix(3, 4), matrix(4, 5)
    close(tg.chain_matmul(a, b, c), a @ b @ c)
    assert tg.chain_matmul(a) is a


def test_what_a_matrix_lacks_is_said():
    assert issubclass(LinAlgError, RuntimeError)
    with pytest.raises(LinAlgError, match="inverse: "):
        tg.linalg.inv(tg.zeros(2, 2))
    with pytest.raises(LinAlgError, match="cholesky: "):
        tg.linalg.cholesky(-tg.eye(2))
    with pytest.raises(RuntimeError, match="eigh: needs float32 or float64, got float16"):
        tg.linalg.eigh(tg.zeros(2, 2, dtype=tg.float16))
