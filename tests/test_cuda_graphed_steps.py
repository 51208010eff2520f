"""Whole training steps as CUDA graphs, the optimizer's step included, on the double of CuPy: replays give the bits of eager steps."""
from __future__ import annotations

import cupy_double
import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import kernels, nn
from tensorgrad.nn import functional as F
from tensorgrad.nn.utils import clip_grad_norm_, clip_grad_value_

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)

OPTIMIZERS = {
    "SGD": (tg.optim.SGD, {"lr": 0.1}),
    "momentum": (tg.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "nesterov": (tg.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    "Adam": (tg.optim.Adam, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "AdamW": (tg.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "RMSprop": (tg.optim.RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True}),
    "Adagrad": (tg.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}),
    "Adadelta": (tg.optim.Adadelta, {"lr": 0.5, "weight_decay": 0.1}),
    "Adamax": (tg.optim.Adamax, {"lr": 0.01, "capturable": True}),
    "NAdam": (tg.optim.NAdam, {"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    "RAdam": (tg.optim.RAdam, {"lr": 0.01, "foreach": False}),  # whose first steps are unlike the later ones
    "Rprop": (tg.optim.Rprop, {"lr": 0.01}),
    "ASGD": (tg.optim.ASGD, {"lr": 0.1, "t0": 4}),
}


@pytest.fixture(autouse=True)
def cupy():
    with cupy_double.installed() as double:
        yield double


def network(dtype=tg.float32):
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).to("cuda", dtype)


def batches(count=5, dtype=tg.float32):
    tg.manual_seed(1)
    return [(tg.randn(5, 6).to("cuda", dtype), tg.randint(0, 4, (5,)).cuda()) for _ in range(count)]


def training(model, optimizer, clip=lambda params: None, set_to_none=True):
    def step(x, y):
        optimizer.zero_grad(set_to_none)
        loss = F.cross_entropy(model(x).float(), y)
        loss.backward()
        clip(model.parameters())
        optimizer.step()
        return loss.detach()

    return step


def everything(model, optimizer):
    """All that a step changes, on the host."""
    state = optimizer.state_dict()["state"]
    return [*[p.detach().float().cpu().numpy() for p in model.parameters()],
            *[value.float().cpu().numpy() for i in sorted(state) for _, value in sorted(state[i].items())]]


def same(found, want):
    assert len(found) == len(want)
    for f, w in zip(found, want, strict=True):
        np.testing.assert_array_equal(f, w)


def run(graphed, make, warm=3, dtype=tg.float32, schedule=None, **how):
    """(losses, all that was trained) of steps after three of the first batch, which are the warm-up of a graph."""
    model = network(dtype)
    optimizer = make(model.parameters())
    scheduler = schedule(optimizer) if schedule else None
    step, data = training(model, optimizer, **how), batches(dtype=dtype)
    if graphed:
        step = tg.cuda.graph(step, *data[0], warmup=warm)
    else:
        for _ in range(warm):
            step(*data[0])
    losses = []
    for batch in data:
        losses.append(step(*batch).item())
        if scheduler is not None:
            scheduler.step()
    return losses, everything(model, optimizer)


def compare(make, **how):
    (losses, trained), (eager_losses, want) = (run(graphed, make, **how) for graphed in (True, False))
    assert losses == eager_losses
    same(trained, want)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_of_every_optimizer_is_captured(name):
    kind, options = OPTIMIZERS[name]
    compare(lambda params: kind(params, **options), schedule=lambda o: tg.optim.lr_scheduler.StepLR(o, 2, 0.5))


@pytest.mark.parametrize("how", [
    {"clip": lambda params: clip_grad_norm_(params, 0.1)}, {"clip": lambda params: clip_grad_value_(params, 0.01)}, {"set_to_none": False},
    {"schedule": lambda o: tg.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=9)},  # changes the betas too
], ids=["norm", "value", "zeros", "one cycle"])
def test_what_stands_around_a_step_is_captured(how):
    compare(lambda params: tg.optim.AdamW(params, lr=0.01), **how)


@pytest.mark.parametrize("rung", ["cuda/v00_per_parameter", "cuda/v01_multi_tensor"])
@pytest.mark.parametrize(("dtype", "master"), [(tg.bfloat16, True), (tg.float16, False), (tg.float64, False)])
def test_halves_and_doubles_with_every_rung(dtype, master, rung):
    with kernels.use("adam_step", rung):
        compare(lambda params: tg.optim.Adam(params, lr=0.01, master_weights=master), dtype=dtype)


def test_groups_have_rates_of_their_own_and_a_tensor_can_be_one():
    def make(params):
        first, *rest = list(params)
        return tg.optim.SGD([{"params": [first], "lr": tg.tensor(0.25)}, {"params": rest}], lr=0.01, momentum=0.5)

    compare(make, schedule=lambda o: tg.optim.lr_scheduler.ExponentialLR(o, 0.5))
    w = tg.ones(3, device="cuda", requires_grad=True)
    rate = tg.tensor(1.0, device="cuda")
    optimizer = tg.optim.SGD([w], lr=rate)
    step = tg.cuda.make_graphed(lambda x: (w * x).sum(), optimizer, tg.ones(3, device="cuda"))
    step(tg.ones(3, device="cuda"))
    rate.fill_(0.5)
    step(tg.ones(3, device="cuda"))
    assert w.detach().cpu().tolist() == [-0.5] * 3
    tg.optim.lr_scheduler.ExponentialLR(optimizer, 0.25).step()
    assert (optimizer.param_groups[0]["lr"] is rate, rate.item()) == (True, 0.125)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"momentum"}))
def test_the_first_step_is_captured_and_changes_nothing_by_itself(name):
    kind, options = OPTIMIZERS[name]

    def steps(graphed):
        model = network()
        optimizer, data = kind(model.parameters(), **options), batches()
        if graphed:
            before = everything(model, optimizer)[:4]
            step = tg.cuda.make_graphed(lambda x, y: F.cross_entropy(model(x), y), optimizer, *data[0], max_norm=0.1)
            same(everything(model, optimizer)[:4], before)
            assert all(s["step"].item() == 0 for s in optimizer.state.values() if "step" in s)
        else:
            step = training(model, optimizer, lambda params: clip_grad_norm_(params, 0.1))
        losses = [step(*batch).item() for batch in data]
        assert all(s["step"].item() == 5 for s in optimizer.state.values() if "step" in s)
        return losses, everything(model, optimizer)

    (losses, trained), (eager_losses, want) = steps(True), steps(False)
    assert losses == eager_losses
    same(trained, want)


def test_several_steps_in_a_graph_and_steps_beside_it():
    w = tg.ones(3, device="cuda", requires_grad=True)
    v = tg.ones(3, device="cuda", requires_grad=True)
    ours, theirs = tg.optim.Adam([w], lr=0.1), tg.optim.Adam([v], lr=0.1)

    def twice(w, optimizer):
        for factor in (1.0, 3.0):
            optimizer.zero_grad()
            (w * w * factor).sum().backward()
            optimizer.step()

    twice(w, ours), twice(v, theirs)
    g = tg.cuda.CUDAGraph()
    with tg.cuda.graph(g):
        twice(w, ours)
    assert ours.state[w]["step"].item() == 2
    for _ in range(2):
        g.replay(), twice(v, theirs)
        w.grad, v.grad = tg.ones(3, device="cuda"), tg.ones(3, device="cuda")
        ours.step(), theirs.step()  # an eager step between replays
    assert ours.state[w]["step"].item() == 8
    assert w.detach().cpu().tolist() == v.detach().cpu().tolist()


def test_what_a_replay_would_get_wrong_is_refused():
    w = tg.ones(3, device="cuda", requires_grad=True)
    optimizer = tg.optim.SGD([w], lr=1.0, momentum=0.5)
    w.grad = tg.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match=r"SGD.step cannot be captured in a graph before its state is there.*prepare\(\)"), \
            tg.cuda.graph(tg.cuda.CUDAGraph()):
        optimizer.step()
    optimizer.prepare()
    assert w.detach().cpu().tolist() == [1] * 3
    g = tg.cuda.CUDAGraph()
    with tg.cuda.graph(g):
        optimizer.step()
    g.replay()
    assert w.detach().cpu().tolist() == [0] * 3
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(RuntimeError, match=r"SGD.step: since its graph was captured .* another state .*capture the graph again"):
        g.replay()
    other = tg.cuda.CUDAGraph()
    with tg.cuda.graph(other):
        optimizer.step()
    w.data = tg.full((3,), 5.0, device="cuda")
    with pytest.raises(RuntimeError, match=r"SGD.step: since its graph was captured"):
        other.replay()
    assert w.detach().cpu().tolist() == [5] * 3


def test_steps_whose_numbers_nobody_renews_are_refused():
    class Plain(tg.optim.Optimizer):
        def update(self, params, group):
            for p in params:
                p.sub_(p.grad * group["lr"])

    w = tg.ones(3, device="cuda", requires_grad=True)
    w.grad = tg.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match=r"Plain.step cannot be captured in a graph: its numbers are the host's"), \
            tg.cuda.graph(tg.cuda.CUDAGraph()):
        Plain([w], {"lr": 0.1}).step()


def test_options_that_were_loaded_are_not_passed_over():
    w = tg.ones(3, device="cuda", requires_grad=True)
    w.grad = tg.ones(3, device="cuda")
    optimizer, g = tg.optim.SGD([w], lr=1.0), tg.cuda.CUDAGraph()  # which has no state
    with tg.cuda.graph(g):
        optimizer.step()
    optimizer.load_state_dict(tg.optim.SGD([w], lr=0.5).state_dict())
    with pytest.raises(RuntimeError, match=r"SGD.step: since its graph was captured"):
        g.replay()
