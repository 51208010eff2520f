"""Every rung of the ladders of layer norm and batch norm, on the emulator: ragged shapes against float64, forward and backward.

Inputs end at pages nobody may touch, outputs start as NaN, and the order of threads is shuffled by three seeds.
"""
from __future__ import annotations

import sys

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.errors import NoKernel
from tensorgrad.nn import functional as F
from tensorgrad.op import OBSERVERS

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13, "float16": 1e-3, "bfloat16": 8e-3}  # of one rounding, about
ROWS = [(1, 1), (3, 31), (5, 32), (7, 100), (2, 520), (70, 12), (2, 1500), (130, 33)]
GROUPED = [(3, 6, 1), (5, 6, 3), (3, 2, 35), (70, 4, 2), (1, 2, 700), (2, 8, 130)]  # (N, C, S)


def rungs(op):
    table = dispatch.kernels_of("emu")[op]
    return [(path, name) for path in sorted(table) if table[path].family == "cuda" for name in sorted(table[path].dtypes)]


@pytest.fixture(params=[(0, False), (1, True), (2, False), (3, True)], ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


def gradients(f, inputs, g):
    """(results, gradients of the inputs) of f for the gradient g of its result."""
    leaves = [t.requires_grad_() for t in inputs]
    y = f(*leaves)
    y.backward(g)
    return [y.detach().numpy(), *[t.grad.numpy() for t in leaves]]


def laid_out(x, path):
    """(N, C, S) as the rung takes it: with its channels last in memory, or as it is."""
    return x.transpose(1, 2).contiguous().transpose(1, 2) if "channels_last" in path else x


def check(path, name, f, arrays, g, growth=1.0):
    """f on emu's rung `path` against f in float64 on the processor, values and gradients. `growth`: how far sums cancel."""
    arrays, g = [a.astype(NUMPY[name]) for a in arrays], g.astype(NUMPY[name])
    with tg.kernels.use("*", path):
        got = gradients(f, [tg.tensor(a, device="emu") for a in arrays], tg.tensor(g, device="emu"))
    want = gradients(f, [tg.tensor(a.astype(np.float64)) for a in arrays], tg.tensor(g.astype(np.float64)))
    for a, b in zip(got, want, strict=True):  # a gradient is a difference of terms about as large as g, and may cancel
        error = np.linalg.norm(a.astype(np.float64) - b) / max(np.linalg.norm(b), np.linalg.norm(g.astype(np.float64)))
        assert error <= growth * TOLERANCE[name], f"relative error {error:.3g} at {arrays[0].shape}"


@pytest.mark.parametrize(("path", "name"), rungs("layer_norm"))
def test_layer_norm_and_rms_norm(path, name, order):
    rng = np.random.default_rng(order[0])
    for rows, n in ROWS:
        x, w, b, g = (rng.standard_normal(s) for s in ((rows, n), n, n, (rows, n)))
        if n > 1:
            check(path, name, lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-3), (x, w, b), g, growth=4)
        check(path, name, lambda x, w: F.rms_norm(x, w.shape, w, 1e-3), (x, w), g, growth=4)


@pytest.mark.parametrize(("n", "name"), [(4090, "float64"), (8204, "float32")])
def test_rows_that_fill_a_block(n, name):
    """The most that 256 threads hold of doubles, and what only 512 hold of floats."""
    rng = np.random.default_rng(0)
    x, w, b, g = (rng.standard_normal(s) for s in ((3, n), n, n, (3, n)))
    check("cuda/v02_persistent", name, lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-3), (x, w, b), g, growth=8)


def test_longer_rows_are_for_another_rung():
    x = tg.ones(1, 16400, device="emu").requires_grad_()
    F.layer_norm(x, [16400]).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 0)
    with tg.kernels.use("layer_norm", "cuda/v02_persistent"), pytest.raises(NoKernel, match="holds rows of up to 65536 bytes"):
        F.layer_norm(x, [16400])


@pytest.mark.parametrize(("path", "name"), rungs("batch_norm"))
def test_batch_norm_and_group_norm(path, name, order):
    rng = np.random.default_rng(order[0])
    for shape in GROUPED:
        x, g, w, b = (rng.standard_normal(s) for s in (shape, shape, shape[1], shape[1]))
        check(path, name, lambda x, w, b: F.batch_norm(laid_out(x, path), None, None, w, b, training=True), (x, w, b), g, growth=4)
        check(path, name, lambda x, w, b: F.group_norm(laid_out(x, path), 2, w, b), (x, w, b), g, growth=4)


# (N, C, S), groups: blocks of a cluster that share segments, a cluster of 8, segments that blocks share out among them, slices of
# channels, more than a block keeps, more than a cluster keeps backward.
LARGE = [((2, 2, 2500), 2), ((1, 1, 20004), 1), ((40, 2, 131), 2), ((1, 12, 900), 2), ((2, 3, 8192), 3), ((1, 2, 119000), 1)]


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
@pytest.mark.parametrize("path", ["cuda/v03_held", "cuda/v04_cluster"])
def test_groups_that_fill_blocks_and_clusters(path, name):
    rng = np.random.default_rng(0)
    for shape, groups in LARGE[:None if name == "float32" else -1]:
        x, g, w, b = (rng.standard_normal(s) for s in (shape, shape, shape[1], shape[1]))
        check(path, name, lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (x, w, b), g, growth=4)
        check(path, name, lambda x, w, b, groups=groups: F.group_norm(x, groups, w, b), (x, w, b), g, growth=4)


@pytest.mark.parametrize("name", ["float32", "float16"])
def test_columns_that_fill_clusters(name):
    """A cluster of 8 and one of 4, a row of no whole packs, more than a cluster keeps, a block alone."""
    path, rng = "cuda/v05_channels_last_cluster", np.random.default_rng(0)
    for shape in ((3, 40, 700), (2, 64, 60), (2, 37, 333), (1, 8, 50000), (5, 6, 64)):
        x, g, w, b = (rng.standard_normal(s) for s in (shape, shape, shape[1], shape[1]))
        check(path, name, lambda x, w, b: F.batch_norm(laid_out(x, path), None, None, w, b, training=True), (x, w, b), g, growth=4)


# A cluster of 8, packs with columns of two groups, whole groups of no whole packs, more packs than a warp and than a block has room for,
# a last tile with fewer groups, more than a cluster keeps.
@pytest.mark.parametrize("name", ["float32", "float16"])
@pytest.mark.parametrize(("shape", "groups"), [((1, 32, 2000), 4), ((2, 16, 90), 8), ((3, 24, 70), 8), ((2, 200, 9), 1), ((2, 1028, 3), 4),
                                               ((1, 1024, 5), 2), ((2, 56, 33), 7), ((1, 8, 50000), 2)], ids=str)
@pytest.mark.parametrize("path", ["cuda/v02_channels_last", "cuda/v05_channels_last_cluster"])
def test_groups_of_columns(path, shape, groups, name):
    rng = np.random.default_rng(0)
    x, g, w, b = (rng.standard_normal(s) for s in (shape, shape, shape[1], shape[1]))
    check(path, name, lambda x, w, b: F.group_norm(laid_out(x, path), groups, w, b), (x, w, b), g, growth=4)


@pytest.mark.parametrize("path", ["cuda/v03_held", "cuda/v04_cluster"])
def test_packs_only_where_they_lie(path):
    """Images of whole packs that begin elsewhere, as a slice of a longer array does."""
    room = np.random.default_rng(0).standard_normal(4 * 3 * 64 + 1).astype(np.float32)
    x = tg.tensor(room, device="emu")[1:].reshape(4, 3, 64)
    assert x.array.ctypes.data % 16
    with tg.kernels.use("*", path):
        got = F.batch_norm(x, None, None, training=True)
    want = F.batch_norm(tg.tensor(room[1:].reshape(4, 3, 64)), None, None, training=True)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("path", "name"), [r for op in ("layer_norm", "batch_norm") for r in rungs(op) if r[1] == "float32"])
def test_a_large_mean_costs_no_digits(path, name):
    """x = 4096 + noise of a few units in its last place: what is left of x decides, not how large its mean is."""
    rng = np.random.default_rng(0)
    x = (4096 + rng.integers(-4, 5, (3, 6, 90)) / 2048).astype(np.float32)
    one = np.ones(x.shape)
    check(path, name, lambda x: F.layer_norm(x, x.shape[2:], eps=1e-12) + 0 * x, (x,), one * rng.standard_normal(x.shape), growth=4)
    g = rng.standard_normal(x.shape)
    check(path, name, lambda x: F.batch_norm(laid_out(x, path), None, None, training=True, eps=1e-12), (x,), g, growth=4)
    if path in dispatch.kernels_of("emu")["group_norm"]:  # layer norm's rungs are others
        check(path, name, lambda x: F.group_norm(laid_out(x, path), 2, eps=1e-12), (x,), g, growth=4)


@pytest.mark.parametrize(("path", "name"), rungs("batch_norm"))
def test_running_statistics_and_inference(path, name):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 3, 50)).astype(NUMPY[name])
    kept = {}
    for device, kind in (("cpu", np.float64), ("emu", NUMPY[name])):
        small = np.float32 if kind in (np.float16, ml_dtypes.bfloat16) else kind  # beside half precision they are float32
        mean, var = tg.tensor(np.zeros(3, small), device=device), tg.tensor(np.ones(3, small), device=device)
        with tg.kernels.use("*", path):
            given = laid_out(tg.tensor(x.astype(kind), device=device), path)
            F.batch_norm(given, mean, var, training=True, momentum=0.3)
        with tg.kernels.use("*", "cuda/v02_channels_last" if path == "cuda/v05_channels_last_cluster" else path):  # it is for training
            y = F.batch_norm(given, mean, var)
        kept[device] = [t.numpy().astype(np.float64) for t in (mean, var, y)]
    for got, want in zip(kept["emu"], kept["cpu"], strict=True):
        assert np.linalg.norm(got - want) <= TOLERANCE[name] * np.linalg.norm(want)


@pytest.mark.parametrize("shape", [(3, 5, 4404), (2, 7, 701), (40, 31, 6)])
@pytest.mark.parametrize("path", ["cuda/v03_held", "cuda/v04_cluster"])
def test_inference_by_a_small_grid(path, shape):
    """More than its threads do at once: rows are counted on from where they were."""
    rng = np.random.default_rng(1)
    x, g, mean, var, w, b = (rng.uniform(0.5, 2, s) for s in (shape, shape, *[shape[1]] * 4))

    def infer(x, w, b, mean, var):
        return F.batch_norm(x, mean.detach(), var.detach(), w, b) + 0 * (mean.sum() + var.sum())

    check(path, "float32", infer, (x, w, b, mean, var), g, growth=4)


@pytest.mark.parametrize("path", sorted({p for p, _ in rungs("norm_backward")}))
def test_the_same_bits_in_any_order(path):
    rng, made = np.random.default_rng(0), []
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((70, 40), 40, 40)]
    g = rng.standard_normal((70, 40)).astype(np.float32)
    with tg.kernels.use("*", path):
        for seed, threads in ((0, 1), (5, 1), (7, 2)):
            emu.configure(seed=seed, threads=threads)
            inputs = [tg.tensor(a, device="emu") for a in arrays]
            made.append(gradients(lambda x, w, b: F.layer_norm(x, w.shape, w, b), inputs, tg.tensor(g, device="emu")))
    emu.configure(seed=0, threads=0)
    for other in made[1:]:
        for a, b in zip(made[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("chip", "path"), [(9.0, "cuda/v05_channels_last_cluster"), (8.0, "cuda/v02_channels_last")])
@pytest.mark.parametrize("shape", [(2, 8, 3, 5), (2, 3, 4), (6, 5)])
def test_channels_that_are_last_stay_last(shape, chip, path, monkeypatch):
    """The default rung for such an array; neither the result nor the gradient is in another order."""
    ran, original = set(), dispatch.choose
    monkeypatch.setattr(dispatch, "choose", lambda op, *a: (k := original(op, *a), ran.add((op.name, k.path)))[0])
    emu.configure(chip=chip)
    dispatch._forget_choices()
    x = tg.tensor(np.random.default_rng(0).standard_normal(shape), device="emu").movedim(1, -1).contiguous().movedim(-1, 1)
    leaf = x.detach().requires_grad_()
    y = F.batch_norm(leaf, None, None, training=True)
    (y * y * y).sum().backward()
    emu.configure(chip=9.0)
    dispatch._forget_choices()
    assert {(op, path) for op in ("batch_norm", "batch_norm_backward")} <= ran
    assert y.array.strides == x.array.strides
    want = F.batch_norm(wide := tg.tensor(x.numpy()).requires_grad_(), None, None, training=True)
    (want * want * want).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(leaf.grad.numpy(), wide.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.fixture
def chip(request):
    """emu is another one."""
    emu.configure(chip=request.param)
    dispatch._forget_choices()
    yield
    emu.configure(chip=9.0)
    dispatch._forget_choices()


@pytest.mark.parametrize(("device", "chip"), [("cpu", 9.0), ("emu", 9.0), ("emu", 8.0)], indirect=["chip"])
@pytest.mark.parametrize("shape", [(2, 6, 3, 5), (2, 4, 2, 3, 2), (3, 4, 7), (2, 520, 2), (2, 1040, 2)], ids=str)
def test_groups_of_channels_that_are_last_stay_last(shape, device, chip):
    """group_norm and instance_norm: values, result and gradient, against planes; with clusters and without."""
    values, g = np.random.default_rng(0).standard_normal((2, *shape))
    for norm in (lambda x: F.group_norm(x, 2), F.instance_norm):
        made = []
        for turn in (lambda t: t, lambda t: t.movedim(1, -1).contiguous().movedim(-1, 1)):
            leaf = tg.tensor(values, device=device).requires_grad_()
            x = turn(leaf)
            y = norm(x)
            (dx,) = tg.autograd.grad(y, [x], turn(tg.tensor(g, device=device)))
            made.append((x, y, dx))
        (_, want, want_dx), (x, y, dx) = made
        assert y.array.strides == x.array.strides == dx.array.strides
        np.testing.assert_allclose(y.numpy(force=True), want.numpy(force=True), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(dx.numpy(force=True), want_dx.numpy(force=True), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["group_norm", "instance_norm"])
def test_a_network_keeps_its_channels_last(norm, monkeypatch):
    """Convolution, norm, relu, convolution: every image on the way lies as the input does, and the norm is given it as it is."""
    images, given = [], []
    for name in ("group_norm", "group_norm_backward"):
        module = sys.modules[type(dispatch._ops[name]).__module__]

        def looked_at(xp, x, rows, as_lines=module.as_lines):
            given.append(np.shares_memory(lines := as_lines(xp, x, rows), x))
            return lines

        monkeypatch.setattr(module, "as_lines", looked_at)
    x = tg.randn(2, 9, 8, 16, device="emu").permute(0, 3, 1, 2).detach().requires_grad_()
    w, v, scale = tg.randn(32, 16, 3, 3, device="emu"), tg.randn(16, 32, 1, 1, device="emu"), tg.randn(32, device="emu").requires_grad_()
    g = tg.randn(2, 9, 8, 16, device="emu").permute(0, 3, 1, 2)

    def look(ctx, out, args):
        images.extend(t.array for t in (out if isinstance(out, tuple) else (out,)) if t.ndim == 4)

    OBSERVERS.append(look)
    try:
        h = F.conv2d(x, w, padding=1)
        h = F.group_norm(h, 8, scale) if norm == "group_norm" else F.instance_norm(h, weight=scale)
        F.conv2d(F.relu(h), v).backward(g)
    finally:
        OBSERVERS.remove(look)
    assert len(images) > 6
    assert all(a.transpose(0, 2, 3, 1).flags.c_contiguous for a in images)
    assert len(given) == 5
    assert all(given)


@pytest.mark.parametrize("shape", [(2, 6, 4, 5), (3, 4, 2, 2)], ids=str)
def test_channels_last_as_in_pytorch(shape):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    peer = torch.nn.functional.group_norm(torch.tensor(values).to(memory_format=torch.channels_last), 2)
    y = F.group_norm(tg.tensor(values).movedim(1, -1).contiguous().movedim(-1, 1), 2)
    assert tuple(s // 4 for s in y.array.strides) == peer.stride()
    np.testing.assert_allclose(y.numpy(), peer.numpy(), rtol=1e-5, atol=1e-6)


def test_what_a_rung_is_not_for():
    x = tg.ones(2, 4, 3, device="emu")
    with tg.kernels.use("group_norm", "cuda/v05_channels_last_cluster"), pytest.raises(NoKernel, match="needs the channels last in memory"):
        F.group_norm(x, 2)
    with tg.kernels.use("batch_norm", "cuda/v05_channels_last_cluster"):
        with pytest.raises(NoKernel, match="needs the channels last in memory"):
            F.batch_norm(x, None, None, training=True)
        with pytest.raises(NoKernel, match="is for training: inference sums nothing"):
            F.batch_norm(laid_out(x, "channels_last"), tg.zeros(4, device="emu"), tg.ones(4, device="emu"))


@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm", "group_norm"])
def test_the_lab_judges_gradients_too(norm):
    """Against the processor's kernels, which write all of an array of doubles."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(0)
    x, w, b, g = (tg.tensor(rng.standard_normal(s).astype(np.float32), device="emu") for s in ((40, 64), 64, 64, (40, 64)))
    options = {"layer_norm": (w.shape, w, b), "batch_norm": (None, None, w, b, True), "group_norm": (2, w, b)}[norm]
    with tg.lab.record(metrics=False, races=False) as report:
        for t in (x, w, b):
            t.requires_grad_()
        getattr(F, norm)(x, *options).backward(g)
    backward = [call for call in report.calls if call.op.endswith("_backward")]
    assert [call.check.status for call in backward] == ["right"]


def test_float32_parameters_beside_half_precision():
    rng = np.random.default_rng(2)
    x, w, b = rng.standard_normal((6, 24)), rng.standard_normal(24), rng.standard_normal(24)
    for path, _ in rungs("norm_backward"):
        with tg.kernels.use("*", path):
            given = (x, tg.bfloat16), (w, tg.float32), (b, tg.bfloat16)
            leaves = [tg.tensor(a, dtype=d, device="emu").requires_grad_() for a, d in given]
            F.layer_norm(leaves[0], [24], leaves[1], leaves[2]).sum().backward()
        assert [t.grad.dtype for t in leaves] == [tg.bfloat16, tg.float32, tg.bfloat16]
        assert np.isfinite(leaves[1].grad.numpy()).all()
        np.testing.assert_array_equal(leaves[2].grad.numpy().astype(np.float32), 6)


@pytest.mark.parametrize("path", sorted({p for op in ("layer_norm", "batch_norm") for p, _ in rungs(op)}))
def test_free_of_races(path, order):
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(order[0])
    with tg.kernels.use("*", path), tg.lab.record(metrics=False, check=False) as report:
        for shape, norm in (((70, 33), "layer_norm"), ((2, 1100), "layer_norm"), ((3, 4, 130), "batch_norm"),
                            ((3, 4, 130), "group_norm"), ((2, 84, 40), "group_norm")):
            x, w, b = (tg.tensor(rng.standard_normal(s).astype(np.float32), device="emu").requires_grad_()
                       for s in (shape, shape[1], shape[1]))
            options = {"layer_norm": (w.shape, w, b), "batch_norm": (None, None, w, b, True), "group_norm": (2, w, b)}[norm]
            getattr(F, norm)(laid_out(x, path) if norm != "layer_norm" else x, *options).sum().backward()
    ran = {(call.op, call.kernel) for call in report.calls}
    ops = [op + way for op in ("batch_norm", "group_norm") for way in ("", "_backward")] + ["layer_norm", "norm_backward"]
    assert {(op, path) for op in ops if path in dispatch.kernels_of("emu")[op]} <= ran
    assert report.races == []


def test_the_rungs_of_choice_move_the_least_bytes():
    """Of layer norm and RMS norm without parameters, which each row would ask the caches for: x and y; g, x and dx."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    rng = np.random.default_rng(0)
    x, g = (tg.tensor(rng.standard_normal((64, 768)).astype(np.float32), device="emu") for _ in range(2))
    with tg.lab.record(races=False) as report:
        F.rms_norm(x, [768])
        F.layer_norm(x.requires_grad_(), [768]).backward(g)
    calls = {c.op: c for c in report.calls}
    for op, arrays in (("layer_norm", 2), ("rms_norm", 2), ("norm_backward", 3)):
        assert (calls[op].kernel, calls[op].check.status) == ("cuda/v02_persistent", "right")
        moved = sum(32 * line.sectors for launch in calls[op].launches for line in launch.lines if line.space == "global")
        assert moved <= 1.1 * arrays * x.nbytes, op
