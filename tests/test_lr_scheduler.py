"""Learning-rate schedules: closed forms, agreement with PyTorch step by step, storing, refusals."""
from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import optim
from tensorgrad.optim import lr_scheduler

SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 11], "gamma": 0.3}),
    ("LambdaLR", {"lr_lambda": lambda step: 1 / (1 + step)}),
    ("CosineAnnealingLR", {"T_max": 6, "eta_min": 0.01}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 4}),
    ("LinearLR", {}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 21}),
    ("OneCycleLR", {"max_lr": [1.0, 2.0], "epochs": 7, "steps_per_epoch": 3, "three_phase": True, "anneal_strategy": "linear"}),
    ("MultiplicativeLR", {"lr_lambda": lambda step: 0.9 if step % 2 else 1.05}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.2, "total_iters": 9}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 30, "power": 0.7}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.02}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7}),
    ("CyclicLR", {"base_lr": [0.01, 0.02], "max_lr": [0.3, 0.5], "step_size_up": 4, "step_size_down": 3, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 5, "mode": "exp_range", "gamma": 0.95}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 5, "scale_fn": lambda x: 1 / x, "base_momentum": 0.5}),
]
COMBINED = {
    "warm up, then cosine": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 20)], [5]),
    "one after another": lambda s, o: s.SequentialLR(o, [
        s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9), s.CosineAnnealingWarmRestarts(o, 4), s.MultiplicativeLR(o, lambda t: 0.99),
        s.StepLR(o, 3), s.LambdaLR(o, lambda t: 1 / (t + 1)), s.PolynomialLR(o, 8)], [4, 9, 15, 21, 28, 36]),
    "all at once": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 6), s.ExponentialLR(o, 0.9), s.MultiStepLR(o, [7, 20])]),
    "a sequence and a decay": lambda s, o: s.ChainedScheduler([
        s.SequentialLR(o, [s.ConstantLR(o, 0.5, 4), s.ExponentialLR(o, 0.95)], [8]), s.StepLR(o, 4, 0.7)]),
}
METRICS = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, float("nan"), 3, 3, 2, 2, 2, 2, 2]


def optimizer(module=optim, tensor=tg.tensor, name="SGD", **options):
    groups = [{"params": [tensor([1.0], requires_grad=True)]}, {"params": [tensor([1.0], requires_grad=True)], "lr": 0.3}]
    return getattr(module, name)(groups, **{"lr": 0.2, **(options or {"momentum": 0.9})})


def rates(scheduler, opt, steps=50, metrics=None):
    out = []
    for step in range(min(steps, getattr(scheduler, "total_steps", steps))):
        opt.step()
        scheduler.step(*([] if metrics is None else [metrics[step]]))
        out.append([(float(g["lr"]), g.get("momentum", g.get("betas", (0,))[0] if "betas" in g else 0)) for g in opt.param_groups])
    return np.array(out)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[n for n, _ in SCHEDULES])
def test_against_pytorch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    for kind, extra in (("SGD", {"momentum": 0.9}), ("Adam", {"betas": (0.9, 0.99)})):
        a, b = optimizer(name=kind, **extra), optimizer(torch.optim, torch.tensor, kind, **extra)
        ours = rates(getattr(lr_scheduler, name)(a, **options), a)
        theirs = rates(getattr(torch.optim.lr_scheduler, name)(b, **options), b)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", COMBINED)
def test_combined_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    a, b = optimizer(), optimizer(torch.optim, torch.tensor)
    mine, other = COMBINED[name](lr_scheduler, a), COMBINED[name](torch.optim.lr_scheduler, b)
    np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-12)
    np.testing.assert_allclose(rates(mine, a), rates(other, b), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-10)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[n for n, _ in SCHEDULES])
def test_a_learning_rate_that_is_a_tensor_is_filled(name, options):
    """And has the values of one that is a number."""
    opt = optimizer(name="RAdam", lr=tg.tensor(0.2, dtype=tg.float64), betas=(0.9, 0.99))
    opt.param_groups[1]["lr"] = tg.tensor(0.3, dtype=tg.float64)
    plain = optimizer(name="RAdam", betas=(0.9, 0.99))
    first = [g["lr"] for g in opt.param_groups]
    scheduler, other = (getattr(lr_scheduler, name)(o, **options) for o in (opt, plain))
    np.testing.assert_allclose(np.array(rates(scheduler, opt), float), rates(other, plain), rtol=1e-10, atol=1e-15)
    assert all(g["lr"] is t for g, t in zip(opt.param_groups, first, strict=True))
    last = scheduler.get_last_lr()
    assert all(a is not t for a, t in zip(last, first, strict=True))
    np.testing.assert_allclose([float(a) for a in last], other.get_last_lr(), rtol=1e-10, atol=1e-15)


def test_warm_restarts_go_to_a_point_in_time():
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    for mult in (1, 2):
        a, b = optimizer(), optimizer(torch.optim, torch.tensor)
        mine = lr_scheduler.CosineAnnealingWarmRestarts(a, 3, mult)
        other = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(b, 3, mult)
        for at in (0.5, 2.9, 3.0, 4.25, 8.75, 9.5, 1.0, 22.0):
            mine.step(at)
            other.step(at)
            np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-10)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        mine.step(-1)


@pytest.mark.parametrize("options", [
    {"patience": 2}, {"patience": 1, "cooldown": 2, "factor": 0.5}, {"mode": "max", "patience": 0, "min_lr": [0.05, 0.1]},
    {"patience": 1, "threshold": 0.5, "threshold_mode": "abs"},
], ids=str)
def test_plateau_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    a, b = optimizer(), optimizer(torch.optim, torch.tensor)
    ours = rates(lr_scheduler.ReduceLROnPlateau(a, **options), a, 20, metrics=METRICS)
    theirs = rates(torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options), b, 20, metrics=METRICS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert ours[-1, 0, 0] < 0.2


def test_closed_forms():
    opt = optimizer()
    got = rates(lr_scheduler.PowerLR(opt, c=4), opt, 12)[:, :, 0]
    np.testing.assert_allclose(got, [[0.2 / (1 + t / 4), 0.3 / (1 + t / 4)] for t in range(1, 13)], rtol=1e-12)
    opt = optimizer()
    np.testing.assert_allclose(rates(lr_scheduler.PowerLR(opt, 10.0, power=0.5), opt, 30)[-1, 0, 0], 0.1, rtol=1e-12)
    opt = optimizer()
    got = rates(lr_scheduler.CosineAnnealingLR(opt, T_max=10, eta_min=0.02), opt, 10)[:, 0, 0]
    np.testing.assert_allclose(got, [0.02 + 0.18 * (1 + math.cos(math.pi * t / 10)) / 2 for t in range(1, 11)], rtol=1e-9)
    opt = optimizer()
    got = rates(lr_scheduler.StepLR(opt, 2, gamma=0.1), opt, 6)[:, 1, 0]
    np.testing.assert_allclose(got, [0.3 * 0.1 ** (t // 2) for t in range(1, 7)], rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[n for n, _ in SCHEDULES])
def test_continues_from_a_state_dict(name, options):
    opt = optimizer()
    scheduler = getattr(lr_scheduler, name)(opt, **options)
    rates(scheduler, opt, 8)
    stored, opt_state = copy.deepcopy(scheduler.state_dict()), copy.deepcopy(opt.state_dict())
    want = rates(scheduler, opt, 9)
    other = optimizer()
    again = getattr(lr_scheduler, name)(other, **options)
    again.load_state_dict(stored)
    other.load_state_dict(opt_state)
    np.testing.assert_array_equal(rates(again, other, 9), want)


@pytest.mark.parametrize("name", COMBINED)
def test_combined_ones_continue_from_a_state_dict(name):
    opt = optimizer()
    scheduler = COMBINED[name](lr_scheduler, opt)
    rates(scheduler, opt, 17)
    stored, opt_state = copy.deepcopy(scheduler.state_dict()), copy.deepcopy(opt.state_dict())
    want = rates(scheduler, opt, 20)
    other = optimizer()
    again = COMBINED[name](lr_scheduler, other)
    again.load_state_dict(stored)
    other.load_state_dict(opt_state)
    np.testing.assert_array_equal(rates(again, other, 20), want)


class Halving:
    """A function with a state, which a state dict holds."""

    def __init__(self):
        self.calls = 0

    def __call__(self, step):
        self.calls += 1
        return 0.5 ** self.calls


def test_functions_that_are_objects_are_stored():
    opt = optimizer()
    scheduler = lr_scheduler.LambdaLR(opt, [Halving(), lambda step: 1.0])
    scheduler.step()
    assert scheduler.state_dict()["lr_lambdas"] == [{"calls": 2}, None]
    again = lr_scheduler.LambdaLR(opt, [Halving(), lambda step: 1.0])
    again.load_state_dict(scheduler.state_dict())
    assert again.lr_lambdas[0].calls == 2


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size must be at least 1"),
    (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "1 functions for 2 parameter groups"),
    (lambda o: lr_scheduler.LinearLR(o, start_factor=0), ValueError, "start_factor"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "give total_steps"),
    (lambda o: lr_scheduler.OneCycleLR(o, [1.0], 5), ValueError, "1 values of max_lr for 2"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, anneal_strategy="steep"), ValueError, "'steep'"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor must be below 1"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="down"), ValueError, "'down'"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, verbose=True), TypeError, "verbose"),
    (lambda o: lr_scheduler.ConstantLR(o, factor=1.5), ValueError, "ConstantLR: factor must lie in [0, 1], got 1.5"),
    (lambda o: lr_scheduler.PowerLR(o, 0), ValueError, "PowerLR: c must be above 0, got 0"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 must be an int of at least 1, got 0"),
    (lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, mode="square"), ValueError, "mode must be one of triangular, triangular2, exp_range"),
    (lambda o: lr_scheduler.CyclicLR(o, [0.1], 0.2), ValueError, "1 values of base_lr for 2"),
    (lambda o: lr_scheduler.MultiplicativeLR(o, [abs, 3]), TypeError, "lr_lambda must be a function, not a int"),
    (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 1)], [3]), ValueError, "1 schedulers need 0 milestones, got 1"),
    (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 1)])], []), ValueError,
     "scheduler 0 is a ChainedScheduler, which cannot start anew"),
    (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "the list of schedulers is empty"),
    (lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]), ValueError, "steps need a metric"),
    (lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 1), lr_scheduler.StepLR(optimizer(), 1)]), ValueError,
     "scheduler 1 (StepLR) is of another optimizer"),
    (lambda o: lr_scheduler.StepLR([], 1), TypeError, "expected an Optimizer, got a list"),
    (lambda o: lr_scheduler.StepLR(o, 1, last_epoch=3), KeyError, "needs 'initial_lr'"),
])
def test_wrong_schedules_are_refused(make, kind, message):
    with pytest.raises(kind) as caught:
        make(optimizer())
    assert message in str(caught.value)


def test_a_cycle_ends():
    opt = optimizer()
    scheduler = lr_scheduler.OneCycleLR(opt, 1.0, total_steps=3)
    rates(scheduler, opt, 3)
    with pytest.raises(ValueError, match="step 4, but the cycle was planned for 3"):
        scheduler.step()
