"""The recurrent cells on the emulator: every rung, cell and dtype against float64, in several thread orders, without races."""
from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch, nn
from tensorgrad.op import fn
from tensorgrad.ops.recurrence import GATES

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "float16": 4e-3, "bfloat16": 3e-2}  # those of tests/test_ops.py
RUNGS = sorted(p for p, k in dispatch.kernels_of("emu")["recurrence"].items() if k.family == "cuda")
SHAPES = [(3, 2, 5), (2, 5, 8), (2, 1, 33), (1, 40, 16)]  # (T, N, H): ragged, whole packs, beyond a block


@pytest.fixture(params=[(0, False), (1, True), (2, False)], ids=lambda p: f"seed{p[0]}-{'eager' if p[1] else 'lazy'}")
def order(request):
    emu.configure(seed=request.param[0], eager=request.param[1])
    yield request.param
    emu.configure(seed=0, eager=False)


def arrays(mode, shape, name, seed):
    """gates, state, cell, weight, bias and the gradients of the outputs."""
    length, rows, hidden = shape
    width, rng = GATES[mode] * hidden, np.random.default_rng(seed)
    sizes = ((length, rows, width), (rows, hidden), (rows, hidden), (width, hidden), (width,), (length, rows, hidden), (rows, hidden))
    made = [rng.standard_normal(s) for s in sizes]
    made[3] /= hidden**0.5
    if mode == "rnn_relu":  # far from zero, where rounding would choose the slope
        made[0], made[3] = 6 * np.sign(made[0]), made[3] / 10
    return [a.astype(NUMPY[name]) for a in made]


def results(given, mode, reverse, device, name):
    """Outputs and gradients of all inputs."""
    *inputs, g, g_cell = [tg.tensor(a.astype(NUMPY[name]), device=device) for a in given]
    leaves = [t.requires_grad_() for t in inputs]
    if mode != "lstm":
        leaves[2] = None
    outs = fn.recurrence(*leaves, mode, reverse)
    tg.autograd.backward(list(outs), [g, g_cell][:len(outs)])
    return [t.numpy().astype(np.float64) for t in (*[o.detach() for o in outs], *[t.grad for t in leaves if t is not None])]


@pytest.mark.parametrize("mode", GATES)
@pytest.mark.parametrize("name", sorted(NUMPY))
@pytest.mark.parametrize("path", RUNGS)
def test_rungs(path, name, mode, order):
    for i, shape in enumerate(SHAPES):
        given = arrays(mode, shape, name, order[0])
        with tg.kernels.use("recurrence", path):
            got = results(given, mode, bool(i % 2), "emu", name)
        for a, b in zip(got, results(given, mode, bool(i % 2), "cpu", "float64"), strict=True):
            error = np.linalg.norm(a - b) / np.linalg.norm(b)
            assert error <= TOLERANCE[name], f"{mode} {shape}: relative error {error:.3g}"


@pytest.mark.parametrize("mode", GATES)
@pytest.mark.parametrize("path", RUNGS)
def test_free_of_races(path, mode, order):
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    with tg.kernels.use("recurrence", path), tg.lab.record(metrics=False) as report:
        for shape in SHAPES[:2]:
            results(arrays(mode, shape, "float32", 0), mode, False, "emu", "float32")
    kernels = {launch.kernel.partition("<")[0] for call in report.calls for launch in call.launches}
    assert any("rnn_step_backward" in k for k in kernels)
    assert report.races == []
    assert report.wrong == []


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_step_is_one_product_and_one_kernel(layer):
    """Forward: the input's share for all steps at once, then two launches a step."""
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    model, length = layer(6, 8).to("emu"), 3
    x = tg.tensor(np.random.default_rng(0).standard_normal((length, 2, 6)), dtype=tg.float32, device="emu")
    with tg.no_grad(), tg.lab.record(metrics=False, check=False) as report:
        model(x)
    launched = [launch.kernel for call in report.calls if call.op in ("linear", "recurrence") for launch in call.launches]
    assert len(launched) == 1 + 2 * length


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_nothing_is_kept_where_nothing_is_recorded(layer):
    tg.manual_seed(0)
    model, x = layer(3, 5, 2, bidirectional=True), tg.randn(4, 2, 3)
    want = model(x)[0].detach().numpy()
    with tg.no_grad():
        np.testing.assert_array_equal(model(x)[0].numpy(), want)


def test_training_on_emu_as_on_cpu():
    losses = []
    for device in ("cpu", "emu"):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Embedding(7, 4), nn.LSTM(4, 6, batch_first=True)).to(device)
        head = nn.Linear(6, 7).to(device)
        tokens = tg.tensor(np.random.default_rng(0).integers(0, 7, (3, 6)), device=device)
        optimizer = tg.optim.SGD([*model.parameters(), *head.parameters()], lr=0.5)
        losses.append([])
        for _ in range(4):
            optimizer.zero_grad()
            out = model(tokens[:, :-1])[0]
            loss = nn.functional.linear_cross_entropy(out, head.weight, tokens[:, 1:], linear_bias=head.bias)
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
