"""Convolutions: every rung against the reference, in both directions, for any memory layout and number of threads."""
from __future__ import annotations

import functools

import numpy as np
import pytest
from sampling import case_id, realise, relative_error, rng_for

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.cases import Case, T
from tensorgrad.nn import functional as F

CONV, TRANSPOSED, MATMUL = (dispatch._ops[name] for name in ("conv2d", "conv_transpose2d", "matmul"))
RUNGS = sorted(k.path for k in dispatch.kernels_of("cpu")["conv2d"].values())
GOOD = [(op, case) for op in (CONV, TRANSPOSED) for case in op.cases() if case.error is None]
MORE = [  # larger than one block or panel in each direction, and odd everywhere
    (CONV, case) for case in (
        Case(T(3, 5, 23, 29), T(17, 5, 3, 3), T(17), padding=1), Case(T(2, 67, 9, 11), T(13, 67, 3, 3), padding=1, stride=2),
        Case(T(5, 48, 7, 7), T(50, 48, 3, 3), padding=1), Case(T(2, 9, 13, 31), T(11, 9, 5, 2), stride=(3, 1), dilation=(1, 3)),
        Case(T(2, 1, 28, 28), T(32, 1, 3, 3), T(32)), Case(T(2, 21, 8, 70), T(21, 1, 3, 5), T(21), padding=(1, 2), groups=21),
        Case(T(2, 6, 9, 37), T(12, 1, 3, 3), stride=3, padding=1, groups=6), Case(T(1, 3, 40, 40), T(4, 3, 33, 33), padding=3),
        Case(T(1, 2, 4, 4), T(3, 2, 2, 2), padding=3, stride=5),
    )
]


def ids(pairs):
    return [case_id(p) for p in pairs]


def gradients(op, args, kwargs, weight_of_sum):
    leaves = [a.detach().clone().requires_grad_() for a in args]
    y = op.call(*leaves, **kwargs)
    y.backward(tg.from_numpy(weight_of_sum(y.shape).astype(y.numpy(force=True).dtype)))
    return [y.numpy(force=True), *(leaf.grad.numpy() for leaf in leaves)]


@functools.cache
def expected(i, pairs):
    """Output and gradients in float64 on the simple rung, whose output the reference confirms."""
    op, case = (GOOD, MORE)[pairs][i]
    args, kwargs = realise(case, rng_for(op, case), lambda spec, a: tg.from_numpy(a))
    with tg.kernels.use("conv2d", "cpu/im2col"):
        found = gradients(op, args, kwargs, lambda shape: np.random.default_rng(1).uniform(-1, 1, shape))
    want = op.reference(*(a.numpy() for a in args), **kwargs)
    assert relative_error(found[0], want) < 1e-12
    return found


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(("i", "pairs"), [(i, 0) for i in range(len(GOOD))] + [(i, 1) for i in range(len(MORE))], ids=ids(GOOD + MORE))
def test_rungs_agree(i, pairs, dtype, tolerance, rung):
    op, case = (GOOD, MORE)[pairs][i]
    args, kwargs = realise(case, rng_for(op, case), lambda spec, a: tg.from_numpy(a).to(getattr(tg, dtype)))
    with tg.kernels.use("conv2d", rung):
        got = gradients(op, args, kwargs, lambda shape: np.random.default_rng(1).uniform(-1, 1, shape))
    for g, w in zip(got, expected(i, pairs), strict=True):
        assert g.shape == w.shape
        assert relative_error(g, w) <= tolerance


@pytest.fixture
def threads():
    before = tg.get_num_threads()
    yield tg.set_num_threads
    tg.set_num_threads(before)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 32}, {"groups": 4}, {"dilation": 2}], ids=str)
@pytest.mark.parametrize("rung", RUNGS)
def test_thread_count_does_not_change_a_bit(rung, options, threads):
    rng = np.random.default_rng(0)
    x = tg.from_numpy(rng.standard_normal((6, 32, 30, 31)).astype(np.float32))
    w = tg.from_numpy(rng.standard_normal((32, 32 // options.get("groups", 1), 3, 3)).astype(np.float32))
    found = []
    for n in (1, 2, 3):
        threads(n)
        with tg.kernels.use("conv2d", rung):
            found.append(gradients(CONV, [x, w], {"padding": 1, **options}, lambda shape: np.random.default_rng(1).uniform(-1, 1, shape)))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert np.array_equal(a, b)


def test_matmul_threads_do_not_change_a_bit(threads):
    rng = np.random.default_rng(0)
    a, b = (tg.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in ((613, 801), (801, 577)))
    found = []
    with tg.kernels.use("matmul", "cpu/packed"):
        for n in (1, 2, 3):
            threads(n)
            found.append((a @ b).numpy())
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("layout", ["channels_last", "every other pixel", "reversed", "transposed", "one value"])
@pytest.mark.parametrize("groups", [1, 8])
def test_memory_layouts(layout, groups):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 8, 11, 13))
    x = {
        "channels_last": lambda: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "every other pixel": lambda: np.repeat(a, 2, axis=3)[..., ::2],
        "reversed": lambda: np.ascontiguousarray(a[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1],
        "transposed": lambda: np.ascontiguousarray(a.T).T,
        "one value": lambda: np.broadcast_to(a[:, :, :1, :1], a.shape),
    }[layout]()
    w = rng.standard_normal((16, 8 // groups, 3, 3)).transpose(0, 1, 3, 2)
    for stride in (1, 2):
        gy = np.broadcast_to(np.array(0.5), CONV.reference(x, w, None, stride, 1, 1, groups).shape)  # as sum().backward() gives it
        found = {}
        for rung in RUNGS:
            leaves = [tg.from_numpy(v).requires_grad_() for v in (x, w)]
            with tg.kernels.use("conv2d", rung):
                y = F.conv2d(*leaves, None, stride, 1, 1, groups)
                y.backward(tg.from_numpy(gy))
            found[rung] = [y.numpy(force=True), *(leaf.grad.numpy() for leaf in leaves)]
            assert relative_error(found[rung][0], CONV.reference(x, w, None, stride, 1, 1, groups)) < 1e-12
        for rung in RUNGS[1:]:
            for got, want in zip(found[rung], found[RUNGS[0]], strict=True):
                assert relative_error(got, want) < 1e-12


@pytest.mark.parametrize("rung", RUNGS)
def test_long_sums_keep_their_digits(rung):
    """All positive numbers: a naive float32 sum over 200,000 pixels, or over 4,608 products, would lose three digits."""
    rng = np.random.default_rng(0)
    for shape, weight in (((4, 2, 224, 224), (3, 2, 3, 3)), ((1, 512, 9, 9), (4, 512, 3, 3)), ((3, 2, 224, 224), (2, 1, 3, 3))):
        x, w = rng.uniform(0, 1, shape), rng.uniform(0, 1, weight)
        groups = shape[1] // weight[1]
        results = []
        for kind in (np.float64, np.float32):
            args = [tg.from_numpy(v.astype(kind)) for v in (x, w)]
            with tg.kernels.use("conv2d", rung if kind is np.float32 else "cpu/im2col"):
                results.append(gradients(CONV, args, {"padding": 1, "groups": groups}, lambda s: np.random.default_rng(1).uniform(0, 1, s)))
        for want, got in zip(*results, strict=True):
            assert relative_error(got, want) < 1e-5


def test_results_do_not_depend_on_the_workspace():
    rng = np.random.default_rng(0)
    x, w = (tg.from_numpy(rng.standard_normal(s).astype(np.float32)) for s in ((1, 300, 12, 12), (200, 300, 5, 5)))  # 6 MB of weights
    before = tg.get_workspace_limit()
    try:
        for rung in RUNGS:
            found = []
            for limit in (before, 1 << 20):
                tg.set_workspace_limit(limit)
                with tg.kernels.use("conv2d", rung):
                    found.append(gradients(CONV, [x, w], {"padding": 2}, lambda s: np.random.default_rng(1).uniform(-1, 1, s)))
            for a, b in zip(*found, strict=True):
                assert relative_error(a, b) < 1e-6
        with pytest.raises(ValueError, match="at least 1048576"):
            tg.set_workspace_limit(1000)
    finally:
        tg.set_workspace_limit(before)


def test_nan_stays_where_it_belongs():
    x = np.ones((1, 2, 8, 40), np.float32)
    x[0, 1, 4, 20] = np.nan
    for rung in RUNGS:
        with tg.kernels.use("conv2d", rung):
            y = F.conv2d(tg.from_numpy(x), tg.ones(3, 2, 3, 3), padding=1).numpy()
        seen = np.zeros((8, 40), bool)
        seen[3:6, 19:22] = True
        assert (np.isnan(y) == seen).all()


def test_second_derivatives_of_uneven_padding():
    x, w = (tg.tensor(np.random.default_rng(0).standard_normal(s)) for s in ((1, 2, 5, 4), (3, 2, 2, 3)))
    assert tg.autograd.gradgradcheck(lambda a, b: F.conv2d(a, b, padding="same"), [x.requires_grad_(), w.requires_grad_()])


def test_output_padding_beyond_the_stride():
    x, w = tg.ones(1, 1, 2, 2, dtype=tg.float64), tg.ones(1, 1, 2, 2, dtype=tg.float64)
    for rung in RUNGS:
        with tg.kernels.use("conv2d", rung):
            a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
            assert tg.autograd.gradcheck(lambda p, q: F.conv_transpose2d(p, q, stride=1, dilation=3, output_padding=2), [a, b])


@pytest.mark.parametrize("op", ["conv2d_input_grad", "conv2d_weight_grad"])
def test_the_gradients_are_ops_with_kernels(op):
    assert set(RUNGS) == set(dispatch.kernels_of("cpu")[op])
    assert dispatch._ops[op].group == "conv2d"
