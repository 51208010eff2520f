"""Convolutions on the device `emu`, op by op: the rung a call takes, the layout its results have, races, traffic, refusals."""
from __future__ import annotations

import numpy as np
import pytest
from conv_calls import CONV, NUMPY, OPS, TABLES, TMA, TOLERANCE, by_tma, depthwise_only, images
from sampling import case_id, realise, relative_error, rng_for

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.op import fn


def test_a_residual_block_that_no_longer_learns_is_one_kernel_a_layer():
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(0)
    w, scale, shift = (tg.tensor(rng.standard_normal(s), dtype=tg.bfloat16, device="emu") for s in ((64, 64, 3, 3), 64, 64))
    x = images(2, 64, 6, 5)
    with tg.lab.record() as report, tg.no_grad():
        y = fn.conv2d_fused(x, w, None, scale, shift, padding=1, activation="relu")
        fn.conv2d_fused(y, w, None, scale, shift, x, padding=1, activation="relu")
    assert [(c.op, c.kernel, c.check.status) for c in report.calls] == [("conv2d_fused", "cuda/v04_tma_im2col", "right")] * 2
    assert report.races == []


@pytest.mark.parametrize("path", ["cuda/v03_tensor_core", *TMA])
def test_a_convolution_of_one_tap_is_a_plain_product(path):
    """Nothing is turned or gathered first: one launch."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    x, w = images(2, 32, 6, 5), tg.randn(24, 32, 1, 1, device="emu", dtype=tg.bfloat16)
    with tg.kernels.use("conv2d", path), tg.lab.record() as report, tg.no_grad():
        F.conv2d(x, w)
    assert len(report.launches) == 1, report.launches


def test_channels_last_stay_last_and_take_the_rung_for_them():
    """From layer to layer, forwards and backwards."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    w, v = (tg.randn(*s, device="emu", dtype=tg.bfloat16).requires_grad_() for s in ((40, 32, 3, 3), (32, 40, 1, 1)))
    x, g = images(2, 32, 9, 8).requires_grad_(), images(2, 32, 5, 4)
    with tg.lab.record() as report:
        y = F.conv2d(F.conv2d(x, w, stride=2, padding=1), v)
        y.backward(g)
    assert sorted((c.op, c.kernel) for c in report.calls if c.op in OPS) == sorted((op, "cuda/v04_tma_im2col") for op in 2 * OPS)
    assert y.numpy(force=True).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(("x", "options", "reason"), [
    (lambda: tg.randn(2, 8, 5, 5, device="emu", dtype=tg.bfloat16), {}, "needs the channels last in memory, in groups of 16 bytes"),
    (lambda: images(2, 12, 5, 5), {}, "needs the channels last in memory, in groups of 16 bytes"),
    (lambda: images(2, 16, 5, 5), {"groups": 2}, "needs a single group"),
    (lambda: images(2, 8, 5, 5), {"stride": 9}, "needs steps of at most 8 and patches that reach no further than 120 pixels"),
    (lambda: images(2, 8, 5, 5), {"padding": 119}, "needs steps of at most 8 and patches that reach no further than 120 pixels"),
])
def test_asking_tma_for_what_it_cannot_do_names_the_reason(x, options, reason):
    x = x()
    w = tg.randn(8, x.shape[1] // options.get("groups", 1), 3, 3, device="emu", dtype=tg.bfloat16)
    with tg.kernels.use("conv2d", "cuda/v04_tma_im2col"), pytest.raises(tg.errors.NoKernel, match=f"{reason}.*what does: cuda/v03"):
        F.conv2d(x, w, **options)


def test_a_depthwise_convolution_takes_its_rung():
    chosen = {groups: CONV.chosen(tg.device("emu"), np.zeros(1, np.float32), groups > 1).path for groups in (1, 8)}
    assert chosen == {1: "cuda/v02_implicit", 8: "cuda/depthwise"}
    with tg.kernels.use("conv2d", "cuda/depthwise"), pytest.raises(tg.errors.NoKernel, match="several groups of one channel each"):
        F.conv2d(tg.ones(1, 4, 5, 5, device="emu"), tg.ones(4, 2, 3, 3, device="emu"), groups=2)


GOOD = [case for case in CONV.cases() if case.error is None]


@pytest.mark.parametrize("path", [path for path in sorted(TABLES["conv2d"]) if not by_tma(path)])
def test_the_ops_own_cases(path):
    for case in GOOD:
        for name in sorted(TABLES["conv2d"][path].dtypes):
            args, kwargs = realise(case, rng_for(CONV, case), lambda spec, a, to=NUMPY[name]: a.astype(to))
            if depthwise_only(path) and not (kwargs.get("groups", 1) == args[0].shape[-3] > 1):
                continue
            with tg.kernels.use("conv2d", path):
                leaves = [tg.from_numpy(a).to("emu").requires_grad_() for a in args]
                y = F.conv2d(*leaves, **kwargs)
                y.backward(tg.ones_like(y))
            limit = TOLERANCE["tf32" if path.endswith("tf32") else name]
            want = CONV.reference(*(a.astype(np.float64) for a in args), **kwargs)
            assert relative_error(y.numpy(force=True), want) <= limit, case_id((CONV, case))


@pytest.mark.parametrize("path", [path for path in sorted(TABLES["conv2d_input_grad"]) if not by_tma(path)])
def test_transposed_convolution(path):
    """Every option, and gradients of both operands through the same rung, against the reference and against cpu."""
    op = dispatch._ops["conv_transpose2d"]
    kernel = TABLES["conv2d_input_grad"][path]
    name = "float64" if "float64" in kernel.dtypes else "float32" if "float32" in kernel.dtypes else "bfloat16"
    for case in (case for case in op.cases() if case.error is None):
        args, kwargs = realise(case, rng_for(op, case), lambda spec, a: a.astype(NUMPY[name]))
        if depthwise_only(path) and not (kwargs.get("groups", 1) == args[1].shape[0] > 1):
            continue
        limit = TOLERANCE["tf32" if path.endswith("tf32") else name]
        grads = []
        for device in ("emu", "cpu"):
            leaves = [tg.from_numpy(a if device == "emu" else a.astype(np.float64)).to(device).requires_grad_() for a in args]
            with tg.kernels.use("conv2d_input_grad", path):
                y = F.conv_transpose2d(*leaves, **kwargs)
                g = np.random.default_rng(0).standard_normal(y.shape).astype(NUMPY[name])
                y.backward(tg.from_numpy(g if device == "emu" else g.astype(np.float64)).to(device))
            grads.append([leaf.grad.numpy() for leaf in leaves])
            if device == "emu":
                want = op.reference(*(a.astype(np.float64) for a in args), **kwargs)
                assert relative_error(y.numpy(force=True), want) <= limit, case_id((op, case))
        assert all(relative_error(a, b) <= max(limit, 1e-13) for a, b in zip(*grads, strict=True)), case_id((op, case))


@pytest.mark.parametrize(("op", "path"), [(op, path) for op in OPS for path in sorted(TABLES[op])])
def test_no_pass_races(op, path):
    """The gradients have no cases of their own for the lab to run."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    name = "float32" if "float32" in TABLES[op][path].dtypes else "bfloat16"
    groups = 5 if depthwise_only(path) else 1
    channels = (72, 136) if by_tma(path) else (5, 10)
    shapes = (2, channels[0], 9, 7), (channels[1], channels[0] // groups, 3, 3)
    x, w = (tg.randn(*s, device="emu", dtype=getattr(tg, name)) for s in shapes)
    x = images(*x.shape) if by_tma(path) else x
    x.requires_grad_()
    w.requires_grad_()
    g = images(2, channels[1], 5, 4) if by_tma(path) else None
    with tg.kernels.use(op, path), tg.lab.record() as report:
        y = F.conv2d(x, w, stride=2, padding=1, groups=groups)
        y.backward(tg.ones_like(y) if g is None else g)
    assert {c.kernel for c in report.calls if c.op == op} == {path}
    assert {c.check.status for c in report.calls} == {"right"}, report
    assert [race for race in report.races if race.kind != "uninitialised"] == []


def test_depthwise_moves_little_more_than_it_must():
    """All three passes: each pixel once, each result once."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    x, w = (tg.randn(*s, device="emu", requires_grad=True) for s in ((1, 4, 56, 56), (4, 1, 3, 3)))
    with tg.lab.record(races=False) as report:
        F.conv2d(x, w, padding=1, groups=4).backward(tg.ones(1, 4, 56, 56, device="emu"))
    calls = [c for c in report.calls if c.op in OPS]
    assert {c.kernel for c in calls} == {"cuda/depthwise"}
    moved = sum(32 * line.sectors for line in report.lines if line.space == "global" and "conv2d" in line.file)
    assert moved <= 1.1 * sum(c.least_bytes for c in calls)
