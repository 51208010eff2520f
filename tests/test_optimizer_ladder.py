"""Every rung of the optimizers' kernels and of gradient clipping, on the emulator: against the processor, launches, traffic, precision.

Parameters end at pages nobody may touch, and the order of threads is shuffled by three seeds.
"""
from __future__ import annotations

import copy

import numpy as np
import pytest
from test_optim import CONFIGS, IDS

import tensorgrad as tg
from tensorgrad import dispatch, kernels, optim
from tensorgrad.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from tensorgrad.op import fn

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
RUNGS = sorted(p for p, k in dispatch.kernels_of("emu")["adam_step"].items() if k.device == "emu")
SHAPES = [(), (7,), (3, 5), (0, 4), (4099,), (65, 33), (1, 8)]  # scalar, ragged, empty, more than a chunk, whole packs
TOLERANCE = {"float64": 1e-13, "float32": 1e-6, "float16": 2e-3, "bfloat16": 1.6e-2}


@pytest.fixture(params=[1, 2, 3], ids=lambda s: f"seed{s}")
def seed(request):
    emu.configure(seed=request.param)
    yield request.param
    emu.configure(seed=0)


def parameters(device, dtype, shapes=SHAPES, scale=1.0):
    rng = np.random.default_rng(0)
    return [tg.tensor(scale * rng.standard_normal(s), dtype=getattr(tg, dtype), device=device).requires_grad_() for s in shapes]


def set_gradients(params, step):
    rng = np.random.default_rng(1000 + step)
    for p in params:
        p.grad = tg.tensor(rng.standard_normal(tuple(p.shape)), dtype=p.dtype, device=p.device)


def after(device, name, options, dtype, steps=3, **settings):
    """The parameters after some steps."""
    params = parameters(device, dtype, **settings)
    optimizer = getattr(optim, name)(params, **options)
    for step in range(steps):
        set_gradients(params, step)
        optimizer.step()
    return [p.detach().numpy().astype(np.float64) for p in params]


def close(got, want, tolerance):
    for a, b in zip(got, want, strict=True):
        assert np.linalg.norm(a - b) <= tolerance * max(1.0, np.linalg.norm(b))


@pytest.mark.parametrize("path", RUNGS)
@pytest.mark.parametrize(("name", "options"), CONFIGS, ids=IDS)
def test_steps_are_those_of_the_processor(name, options, path, seed):
    dtype = ("float32", "float64", "float32")[seed - 1]
    with kernels.use("*", path):
        close(after("emu", name, options, dtype), after("cpu", name, options, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("path", RUNGS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("master", [False, True], ids=["alone", "master"])
@pytest.mark.parametrize(("name", "options"), [CONFIGS[i] for i in (1, 5, 10, 12, 14, 16, 18, 20, 24)], ids=lambda a: str(a))
def test_half_precision_steps_are_those_of_the_processor(name, options, dtype, master, path):
    options = {**options, "master_weights": master}
    with kernels.use("*", path):
        close(after("emu", name, options, dtype), after("cpu", name, options, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("path", RUNGS)
def test_more_parameters_than_a_table_and_places_that_are_no_multiple_of_16_bytes(path):
    def run(device):
        base = [tg.tensor(np.arange(n + 2.0), dtype=tg.float32, device=device) for n in range(300)]
        params = [b[1:] if i % 3 else b for i, b in enumerate(base)]
        for i, p in enumerate(params):
            p.grad = tg.full(tuple(p.shape), 0.5 + i, device=device)
        fn.sgd_step(params, [p.grad for p in params], None, 0.25)
        return [b.numpy() for b in base]

    with kernels.use("sgd_step", path):
        for a, b in zip(run("emu"), run("cpu"), strict=True):
            np.testing.assert_array_equal(a, b)


def launches(path, shapes, **options):
    params = parameters("emu", "float32", shapes)
    optimizer = optim.AdamW(params, **options)
    set_gradients(params, 0)
    with kernels.use("adam_step", path), tg.lab.record(races=False) as report:
        optimizer.step()
    assert {c.check.status for c in report.calls} == {"right"}
    return report


def test_one_launch_for_all_parameters_and_no_byte_too_many():
    pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
    shapes = [(4096,), (128, 64), (2053,), (64,), (31,)] * 5
    assert len(launches("cuda/v00_per_parameter", shapes).launches) == len(shapes)
    report = launches("cuda/v01_multi_tensor", shapes)
    assert len(report.launches) == 1
    assert report.totals["least_bytes"] == 28 * sum(int(np.prod(s)) for s in shapes)
    assert report.totals["traffic_to_least"] <= 1.1


def test_parameters_at_different_steps_are_updated_by_their_own_numbers():
    def run(device):
        params = parameters(device, "float32", [(5,), (9,), (3,)])
        optimizer = optim.Adam(params, lr=0.1)
        for step in range(4):
            set_gradients(params, step)
            if step < 2:
                params[1].grad = None
            optimizer.step()
        return [p.detach().numpy() for p in params]

    close(run("emu"), run("cpu"), 1e-6)


# ---------------------------------------------------------------- master weights


def losses(dtype, steps=150, **options):
    """Of a linear regression whose last steps are small beside the weights."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 8)).astype(np.float32)
    y = x @ rng.uniform(1, 2, (8, 1)).astype(np.float32)
    kind = getattr(tg, dtype)
    w = tg.ones(8, 1, dtype=kind).requires_grad_()
    optimizer, seen = optim.SGD([w], lr=2e-3, momentum=0.5, **options), []
    for _ in range(steps):
        optimizer.zero_grad()
        error = tg.tensor(x) @ w.to(tg.float32) - tg.tensor(y)
        loss = (error * error).mean()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return np.array(seen)


def test_bfloat16_with_master_weights_follows_float32_where_it_stalls_without():
    full, alone, master = losses("float32"), losses("bfloat16"), losses("bfloat16", master_weights=True)
    assert full[-1] < 0.25 * full[0]
    assert np.abs(master - full).max() < 0.02 * full[0]
    assert alone[-1] > 2 * full[-1]  # steps below half the gap between neighbouring bfloat16 numbers are lost


@pytest.mark.parametrize("device", ["cpu", "emu"])
@pytest.mark.parametrize(("name", "options"), [("SGD", {"momentum": 0.9}), ("AdamW", {"amsgrad": True}), ("Adagrad", {}),
                                               ("RMSprop", {"centered": True}), ("Adadelta", {})], ids=lambda a: str(a))
def test_masters_are_kept_in_the_state(name, options, device):
    def run(optimizer, params, steps):
        for step in steps:
            set_gradients(params, step)
            optimizer.step()

    params = parameters(device, "bfloat16")
    optimizer = getattr(optim, name)(params, master_weights=True, **options)
    run(optimizer, params, range(3))
    stored, at = copy.deepcopy(optimizer.state_dict()), [p.detach().numpy().copy() for p in params]
    for i, p in enumerate(params):
        state = optimizer.state[p]
        assert {t.dtype for k, t in state.items() if k != "step"} == {tg.float32}
        assert np.array_equal(state["master"].to(tg.bfloat16).numpy(), at[i])
        assert "master" in stored["state"][i]
    run(optimizer, params, range(3, 5))
    resumed = [tg.tensor(a, device=device).requires_grad_() for a in at]
    again = getattr(optim, name)(resumed, master_weights=True, **options)
    again.load_state_dict(stored)
    run(again, resumed, range(3, 5))
    for a, b in zip(params, resumed, strict=True):
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    without = getattr(optim, name)(resumed, **options)
    without.load_state_dict(stored)
    assert not any("master" in s for s in without.state.values())


def test_masters_are_for_half_precision_only():
    p = tg.ones(3).requires_grad_()
    p.grad = tg.ones(3)
    optimizer = optim.Adam([p], master_weights=True)
    optimizer.step()
    assert "master" not in optimizer.state[p]


# ---------------------------------------------------------------- clipping


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf")])
def test_clipping_is_that_of_the_processor(dtype, norm_type, seed):
    def run(device):
        params = parameters(device, dtype)
        set_gradients(params, seed)
        before = clip_grad_norm_(params, 1.5, norm_type).item()
        after = get_total_norm([p.grad for p in params], norm_type).item()
        clipped = [p.grad.numpy().astype(np.float64) for p in params]
        clip_grad_value_(params, 0.01)
        return before, after, [*clipped, *[p.grad.numpy().astype(np.float64) for p in params]]

    got, want = run("emu"), run("cpu")
    assert got[0] == pytest.approx(want[0], rel=TOLERANCE[dtype])
    assert got[1] == pytest.approx(1.5, rel=2 * TOLERANCE[dtype], abs=2e-6)
    close(got[2], want[2], TOLERANCE[dtype])


def test_the_norm_has_the_same_bits_in_any_order_of_threads():
    found = set()
    params = parameters("emu", "float32")
    set_gradients(params, 0)
    for s in (0, 1, 2, 3):
        emu.configure(seed=s)
        found.add(get_total_norm([p.grad for p in params]).item())
    emu.configure(seed=0)
    assert len(found) == 1


def test_nobody_waits_for_the_norm(monkeypatch):
    params = parameters("emu", "float32")
    set_gradients(params, 0)

    def read(self, *args):
        raise AssertionError("a value was read back")

    for name in ("item", "__float__", "tolist", "numpy", "__bool__"):
        monkeypatch.setattr(tg.Tensor, name, read)
    with kernels.use("*", "cuda"):
        clip_grad_norm_(params, 1.0)


def test_large_values_do_not_overflow_and_what_is_no_number_shows():
    params = parameters("emu", "float32", [(5,), (7,)])
    set_gradients(params, 0)
    params[0].grad = tg.full((5,), 3e19, device="emu")
    assert clip_grad_norm_(params, 1.0).item() == pytest.approx(3e19 * 5**0.5, rel=1e-6)
    params[1].grad.array[2] = np.nan
    for p in (2.0, float("inf")):
        assert np.isnan(get_total_norm([p.grad for p in params], p).item())
    clip_grad_norm_(params, 1.0)
    assert np.isnan(params[0].grad.numpy()).all()


def test_gradients_of_several_dtypes_have_one_norm():
    a, b = tg.ones(3).requires_grad_(), tg.ones(4, dtype=tg.float64).requires_grad_()
    a.grad, b.grad = tg.full((3,), 2.0), tg.full((4,), 1.0, dtype=tg.float64)
    assert clip_grad_norm_([a, b], 1.0).item() == pytest.approx(4.0)
    assert get_total_norm([a.grad, b.grad]).item() == pytest.approx(1.0, rel=1e-5)
