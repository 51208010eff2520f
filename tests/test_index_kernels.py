"""Adding at repeated places: precision, threads, memory layouts; the rungs against each other."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg


def sample(n=500, m=20_000, d=33, dtype=np.float32):
    rng = np.random.default_rng(3)
    return rng.uniform(0.5, 1.5, (n, d)).astype(dtype), rng.integers(0, n, m), rng.uniform(0.5, 1.5, (m, d)).astype(dtype)


@pytest.mark.parametrize("d", [1, 5, 33, 300])
def test_the_number_of_threads_does_not_show(d):
    x, i, s = sample(d=d)
    before, results = tg.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            tg.set_num_threads(threads)
            t = tg.from_numpy(x).index_add(0, tg.from_numpy(i), tg.from_numpy(s))
            wide = tg.from_numpy(np.broadcast_to(i[:, None], s.shape).copy())
            u = tg.from_numpy(x).scatter_add(0, wide, tg.from_numpy(s))
            results.append((t.numpy(), u.numpy()))
    finally:
        tg.set_num_threads(before)
    for got in results[1:]:
        assert np.array_equal(got[0], results[0][0])
        assert np.array_equal(got[1], results[0][1])


@pytest.mark.parametrize("d", [1, 40])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_hundred_thousand_additions_to_one_place_keep_their_digits(d, dtype):
    kind = getattr(tg, dtype)
    m = 100_000 if dtype == "float32" else 2000
    s = tg.full((m, d), 0.1, dtype=kind)
    i = tg.zeros(m, dtype=tg.int64)
    want = m * float(s[0, 0].item())
    tolerance = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    assert tg.zeros(2, d, dtype=kind).index_add(0, i, s)[0, 0].item() == pytest.approx(want, rel=tolerance)
    wide = i[:, None].expand(m, d)
    assert tg.zeros(2, d, dtype=kind).scatter_add(0, wide, s)[0, 0].item() == pytest.approx(want, rel=tolerance)
    x = tg.zeros(2, d, dtype=kind, requires_grad=True)
    x[i].backward(s)
    assert x.grad[0, 0].item() == pytest.approx(want, rel=tolerance)


@pytest.mark.parametrize("op", ["index_add_", "scatter_add_", "index_put_"])
@pytest.mark.parametrize("layout", ["transposed", "strided", "offset"])
def test_in_place_on_other_layouts(op, layout):
    base = np.zeros((40, 60), np.float32)
    view = {"transposed": base.T[:30], "strided": base[::2, ::2], "offset": base[5:, 7:]}[layout]
    rng = np.random.default_rng(0)
    for d in (3, 25):
        base[...] = 0
        i = rng.integers(0, view.shape[0], 90)
        s = rng.uniform(size=(90, d)).astype(np.float32)
        t = tg.from_numpy(view[:, :d])
        if op == "index_add_":
            t.index_add_(0, tg.from_numpy(i), tg.from_numpy(s))
        elif op == "index_put_":
            t.index_put_((tg.from_numpy(i),), tg.from_numpy(s), accumulate=True)
        else:
            t.scatter_add_(0, tg.from_numpy(i)[:, None].expand(90, d), tg.from_numpy(s))
        want = np.zeros((view.shape[0], d))
        np.add.at(want, i, s)
        assert np.allclose(view[:, :d], want, rtol=1e-5)
        assert base.sum() == pytest.approx(want.sum(), rel=1e-5)


@pytest.mark.parametrize("op", ["accumulate", "scatter_add", "gather"])
def test_the_numpy_rung_agrees(op):
    x, i, s = sample(n=50, m=300, d=20)

    def run():
        t, index, source = tg.from_numpy(x), tg.from_numpy(i), tg.from_numpy(s)
        wide = index[:, None].expand(300, 20)
        return {"accumulate": lambda: t.index_add(0, index, source), "scatter_add": lambda: t.scatter_add(0, wide, source),
                "gather": lambda: t.gather(0, wide)}[op]().numpy()

    with tg.kernels.use(op, "cpu/numpy"):
        plain = run()
    assert np.allclose(run(), plain, rtol=1e-6)


def test_negative_places_in_gradients():
    x = tg.ones(4, 3, requires_grad=True)
    (x[[-1, 3, 0]] * 2.0).sum().backward()
    assert x.grad.tolist() == [[2.0] * 3, [0.0] * 3, [0.0] * 3, [4.0] * 3]
    i = tg.tensor([[-1, -4], [0, 1]])
    y = tg.zeros(4, requires_grad=True)
    y[i].sum().backward()
    assert y.grad.tolist() == [2.0, 1.0, 0.0, 1.0]
