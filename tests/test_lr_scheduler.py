"""Learning-rate schedules: closed forms, agreement with PyTorch step by step, storing, refusals."""
from __future__ import annotations

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
]
METRICS = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, float("nan"), 3, 3, 2, 2, 2, 2, 2]


def optimizer(module=optim, tensor=tg.tensor, name="SGD", **options):
    groups = [{"params": [tensor([1.0], requires_grad=True)]}, {"params": [tensor([1.0], requires_grad=True)], "lr": 0.3}]
    return getattr(module, name)(groups, lr=0.2, **(options or {"momentum": 0.9}))


def rates(scheduler, opt, steps=20, metrics=None):
    out = []
    for step in range(steps):
        opt.step()
        scheduler.step(*([] if metrics is None else [metrics[step]]))
        out.append([(g["lr"], g.get("momentum", g.get("betas", (0,))[0] if "betas" in g else 0)) for g in opt.param_groups])
    return np.array(out)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[n for n, _ in SCHEDULES])
def test_against_pytorch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    for kind, extra in (("SGD", {"momentum": 0.9}), ("Adam", {"betas": (0.9, 0.99)})):
        a, b = optimizer(name=kind, **extra), optimizer(torch.optim, torch.tensor, kind, **extra)
        ours = rates(getattr(lr_scheduler, name)(a, **options), a)
        theirs = rates(getattr(torch.optim.lr_scheduler, name)(b, **options), b)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("options", [
    {"patience": 2}, {"patience": 1, "cooldown": 2, "factor": 0.5}, {"mode": "max", "patience": 0, "min_lr": [0.05, 0.1]},
    {"patience": 1, "threshold": 0.5, "threshold_mode": "abs"},
], ids=str)
def test_plateau_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    a, b = optimizer(), optimizer(torch.optim, torch.tensor)
    ours = rates(lr_scheduler.ReduceLROnPlateau(a, **options), a, metrics=METRICS)
    theirs = rates(torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options), b, metrics=METRICS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert ours[-1, 0, 0] < 0.2


def test_closed_forms():
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
    stored, opt_state = scheduler.state_dict(), opt.state_dict()
    want = rates(scheduler, opt, 9)
    other = optimizer()
    again = getattr(lr_scheduler, name)(other, **options)
    again.load_state_dict({**stored, "last_epoch": 8, "_step_count": 9})
    other.load_state_dict(opt_state)
    np.testing.assert_array_equal(rates(again, other, 9), want)


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size must be at least 1"),
    (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "1 functions for 2 parameter groups"),
    (lambda o: lr_scheduler.LinearLR(o, start_factor=0), ValueError, "start_factor"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "give total_steps"),
    (lambda o: lr_scheduler.OneCycleLR(o, [1.0], 5), ValueError, "1 values of max_lr for 2"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, anneal_strategy="steep"), ValueError, "'steep'"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor must be below 1"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="down"), ValueError, "'down'"),
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
