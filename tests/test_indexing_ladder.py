"""Every CUDA kernel of indexed access, on the emulator: against float64 sums, in each dtype, in shuffled orders of threads.

Outputs start as NaN and end at pages nobody may touch. `cuda/atomic` promises no bits and is asked for none.
"""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 3e-7, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}  # of one rounding, about
SHAPES = [(1, 1, 1), (5, 40, 3), (40, 300, 33), (300, 7, 16), (3, 500, 130), (6, 5, 0), (6, 0, 5)]  # places, entries, columns


@pytest.fixture(params=[1, 2, 3], ids=lambda s: f"seed{s}")
def seed(request):
    emu.configure(seed=request.param)
    yield request.param
    emu.configure(seed=0)


def rungs(op):
    table = dispatch.kernels_of("emu")[op]
    return [(path, name) for path in sorted(table) if table[path].family == "cuda" for name in sorted(table[path].dtypes & set(NUMPY))]


def near(got, want, name, terms=1):
    """`terms`: how many roundings, where a rung rounds at each."""
    w = np.asarray(want, np.float64)
    assert got.shape == w.shape
    assert np.linalg.norm(got.astype(np.float64) - w) <= terms * TOLERANCE[name] * (np.linalg.norm(w) or 1)


def data(seed, name, shape):
    n, m, d = shape
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.5, 1.5, (n, d)).astype(NUMPY[name]), rng.integers(0, n, m),  # positive: nothing cancels
            rng.uniform(0.5, 1.5, (m, d)).astype(NUMPY[name]))


def roundings(path, shape):
    return shape[1] / shape[0] + 2 if path.endswith("atomic") else 1


@pytest.mark.parametrize(("path", "name"), rungs("accumulate"))
def test_accumulate(path, name, seed):
    for shape in SHAPES:
        x, i, s = data(seed, name, shape)
        want = x.astype(np.float64)
        np.add.at(want, i, s.astype(np.float64))
        with tg.kernels.use("*", path):
            got = tg.tensor(x, device="emu").index_add(0, tg.tensor(i, device="emu"), tg.tensor(s, device="emu"))
        near(got.numpy(), want, name, roundings(path, shape))


@pytest.mark.parametrize(("path", "name"), rungs("scatter_add"))
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_scatter_add(path, name, dim, seed):
    rng = np.random.default_rng(seed)
    for shape, m in (((2, 5, 3), 4), ((3, 4, 7), 90), ((1, 33, 1), 200)):
        full = [*shape[:dim], m, *shape[dim + 1:]]
        x, s = (rng.uniform(0.5, 1.5, n).astype(NUMPY[name]) for n in (shape, full))
        i = rng.integers(0, shape[dim], full)
        place = list(np.indices(full))
        place[dim] = i
        want = x.astype(np.float64)
        np.add.at(want, tuple(place), s.astype(np.float64))
        with tg.kernels.use("scatter_add", path):
            got = tg.tensor(x, device="emu").scatter_add(dim, tg.tensor(i, device="emu"), tg.tensor(s, device="emu")).numpy()
        near(got, want, name, m / shape[dim] + 2 if path.endswith("atomic") else 1)


@pytest.mark.parametrize(("path", "name"), rungs("add_rows"))
def test_embedding_and_its_gradient(path, name, seed):
    rng = np.random.default_rng(seed)
    for rows, features, count in ((7, 3, 40), (50, 96, 9), (5, 1, 1), (3, 64, 0), (4, 17, 200), (3, 5, 300)):
        table, index = rng.uniform(0.5, 1.5, (rows, features)).astype(NUMPY[name]), rng.integers(0, rows, count)
        g = rng.uniform(0.5, 1.5, (count, features)).astype(NUMPY[name])
        w = tg.tensor(table, device="emu").requires_grad_()
        with tg.kernels.use("add_rows", path):
            y = F.embedding(tg.tensor(index, device="emu"), w, padding_idx=1)
            y.backward(tg.tensor(g, device="emu"))
        assert np.array_equal(y.detach().numpy(), table[index])
        want = np.zeros((rows, features))
        np.add.at(want, index[index != 1], g[index != 1].astype(np.float64))
        near(w.grad.numpy(), want, name, roundings(path, (rows, count)))


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_is_that_of_the_processor(name, mode, seed):
    rng = np.random.default_rng(seed)
    table, index = rng.uniform(0.5, 1.5, (9, 37)), rng.integers(0, 9, 30)
    found = []
    for device, kind in (("cpu", np.float64), ("emu", NUMPY[name])):
        w = tg.tensor(table.astype(NUMPY[name]).astype(kind), device=device).requires_grad_()
        weights = None
        if mode == "sum":
            weights = tg.tensor(np.linspace(0.5, 1, 30).astype(NUMPY[name]).astype(kind), device=device).requires_grad_()
        y = F.embedding_bag(tg.tensor(index, device=device), w, tg.tensor([0, 4, 4, 21], device=device), mode=mode,
                            per_sample_weights=weights)
        y.sum().backward()
        found.append([y.detach().numpy(), w.grad.numpy(), *([] if weights is None else [weights.grad.numpy()])])
    for got, want in zip(found[1], found[0], strict=True):
        near(got, want, name, 2)


@pytest.mark.parametrize("name", ["int64", "int32", "int16", "int8", "uint8"])
@pytest.mark.parametrize("path", ["cuda/v00_scan", "cuda/v01_sorted"])
def test_integers_are_added_exactly_and_wrap(name, path):
    rng, kind = np.random.default_rng(0), np.dtype(name)
    x, s = rng.integers(0, 100, (5, 20)).astype(kind), rng.integers(0, 100, (60, 20)).astype(kind)
    i = rng.integers(0, 5, 60)
    want = x.copy()
    np.add.at(want, i, s)
    t, at, add = tg.tensor(x, device="emu"), tg.tensor(i, device="emu"), tg.tensor(s, device="emu")
    wide = tg.tensor(np.broadcast_to(i[:, None], s.shape).copy(), device="emu")
    with tg.kernels.use("accumulate", path), tg.kernels.use("scatter_add", path):
        assert np.array_equal(t.index_add(0, at, add).numpy(), want)
        assert np.array_equal(t.scatter_add(0, wide, add).numpy(), want)


@pytest.mark.parametrize("name", [*NUMPY, "int64", "int32", "int16", "uint8", "bool"])
def test_gather_moves_bits_of_any_dtype_and_layout(name):
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.integers(0, 2, (4, 9, 6)), device="emu").to(getattr(tg, name))
    for of in (x, x.transpose(0, 1), x[:, ::2]):
        i = rng.integers(0, of.shape[1], (of.shape[0], 5, of.shape[2]))
        with tg.kernels.use("gather", "cuda"):
            got = of.gather(1, tg.tensor(i, device="emu")).numpy()
        assert np.array_equal(got, np.take_along_axis(of.numpy(), i, 1))


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 6, 8, 16])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_rows_of_any_length_and_place_are_copied(columns, offset):
    memory = tg.tensor(np.arange(7 * columns + offset, dtype=np.float16), device="emu")
    w = memory[offset:].reshape(7, columns)
    i = np.array([6, 0, 3, 3])
    with tg.kernels.use("embedding", "cuda"):
        assert np.array_equal(F.embedding(tg.tensor(i, device="emu"), w).numpy(), w.numpy()[i])


ADDING = {path for op in ("accumulate", "scatter_add", "add_rows") for path, _ in rungs(op)}


@pytest.mark.parametrize("path", sorted(ADDING - {"cuda/atomic"}))
def test_sums_have_the_same_bits_in_any_order_of_threads(path):
    """Terms of very different size, so that another order would show."""
    rng = np.random.default_rng(0)
    s = (rng.standard_normal((400, 20)) * 10.0 ** rng.integers(-8, 8, (400, 20))).astype(np.float32)
    i, found = rng.integers(0, 4, 400), set()
    for order in (0, 1, 2, 3):
        emu.configure(seed=order)
        try:
            with tg.kernels.use("*", path):
                t, at, to = tg.tensor(s, device="emu"), tg.tensor(i, device="emu"), tg.zeros(6, 20, device="emu")
                w = tg.zeros(6, 20, device="emu").requires_grad_()
                F.embedding(at, w).backward(t)
                wide = tg.tensor(np.broadcast_to(i[:, None], s.shape).copy(), device="emu")
                found.add(b"".join(a.numpy().tobytes() for a in (to.index_add(0, at, t), to.scatter_add(0, wide, t), w.grad)))
        finally:
            emu.configure(seed=0)
    assert len(found) == 1


def test_rows_are_moved_once():
    """Rows that are long beside an index of 8 bytes, each named once."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rows = np.random.default_rng(0).permutation(64)
    with tg.lab.record(races=False) as report:
        x, i = tg.zeros(64, 512, device="emu").requires_grad_(), tg.tensor(rows, device="emu")
        F.embedding(i, x).sum().backward()
        tg.zeros(64, 512, device="emu").index_add(0, i, tg.ones(64, 512, device="emu"))
    calls = {c.op: c for c in report.calls}
    for op in ("embedding", "add_rows", "index_add"):
        moved = sum(32 * line.sectors for launch in calls[op].launches for line in launch.lines)
        assert calls[op].check.status == "right"
        assert moved <= 1.1 * calls[op].least_bytes, op


@pytest.mark.parametrize("call", [
    lambda d: F.embedding(tg.tensor([[0, 1], [7, 2]], device=d), tg.ones(7, 2, device=d)),
    lambda d: tg.ones(3, 5, device=d).gather(0, tg.tensor([[3]], device=d)),
    lambda d: tg.ones(3, 5, device=d).scatter_add(0, tg.tensor([[-1]], device=d), tg.ones(1, 1, device=d)),
    lambda d: tg.ones(3, 5, device=d).index_add(0, tg.tensor([4], device=d), tg.ones(1, 5, device=d)),
    lambda d: F.embedding_bag(tg.tensor([[0, 9]], device=d), tg.ones(5, 3, device=d)),
    lambda d: tg.ones(4, device=d).take(tg.tensor([4], device=d)),
    lambda d: tg.ones(4, device=d).index_put((tg.tensor([9], device=d),), tg.ones(1, device=d), accumulate=True),
], ids=["embedding", "gather", "scatter_add", "index_add", "embedding_bag", "take", "index_put"])
def test_an_index_out_of_range_is_refused_before_a_launch_in_the_same_words(call):
    said = []
    for device in ("cpu", "emu"):
        with pytest.raises(IndexError) as caught:
            call(device)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "out of range" in said[0]
