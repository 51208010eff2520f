"""Optimizers: 20 steps against PyTorch and against NumPy, parameter groups, storing, refusals; gradient clipping."""
from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import kernels, optim
from tensorgrad.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm

SHAPES = [(), (7,), (3, 5), (0, 4), (2, 3, 37), (300, 300)]
CONFIGS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.01, "alpha": 0.9}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.01, "initial_accumulator_value": 0.5, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "maximize": True, "foreach": False}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"lr": 0.02, "betas": (0.8, 0.99), "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.02, "betas": (0.7, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.03, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.1), "maximize": True}),
    ("ASGD", {"lr": 0.1, "t0": 5}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 0, "weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name} {options}" for name, options in CONFIGS]


def parameters(dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    return [tg.tensor(rng.standard_normal(s), dtype=getattr(tg, dtype)).requires_grad_() for s in SHAPES]


def set_gradients(params, step):
    rng = np.random.default_rng(1000 + step)
    for p in params:
        p.grad = tg.tensor(np.asarray(rng.standard_normal(tuple(p.shape))), dtype=p.dtype)


def run(optimizer, params, steps, start=0):
    for step in range(start, start + steps):
        set_gradients(params, step)
        optimizer.step()


def values(params):
    return [p.detach().numpy().copy() for p in params]


@pytest.mark.parametrize(("name", "options"), CONFIGS, ids=IDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
def test_twenty_steps_against_pytorch(name, options, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    ours = parameters(dtype)
    theirs = [torch.from_numpy(v).requires_grad_() for v in values(ours)]
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(20):
        set_gradients(ours, step)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = torch.from_numpy(p.grad.numpy().copy())
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        want = q.detach().numpy()
        assert np.linalg.norm(p.detach().numpy() - want) <= tolerance * max(1.0, np.linalg.norm(want))
    mine, other = a.state_dict(), b.state_dict()
    assert mine["state"].keys() == other["state"].keys()
    for i, state in other["state"].items():
        assert set(mine["state"][i]) == {k for k, v in state.items() if v is not None}
    for group, theirs_group in zip(mine["param_groups"], other["param_groups"], strict=True):
        assert set(group) <= set(theirs_group)


@pytest.mark.parametrize(("name", "options"), CONFIGS, ids=IDS)
def test_both_rungs_agree(name, options):
    results = []
    for path in ("cpu/fused", "cpu/numpy"):
        params = parameters("float64")
        optimizer = getattr(optim, name)(params, **options)
        with kernels.use(f"{name.lower().removesuffix('w')}_step", path):
            run(optimizer, params, 5)
        results.append(values(params))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-4, 1e-2), "d": 2.0, "weight_decay": 0.1, "maximize": True}], ids=str)
def test_adafactor_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    ours = [p for p in parameters("float64") if p.numel()]
    theirs = [torch.from_numpy(v).requires_grad_() for v in values(ours)]
    a, b = optim.Adafactor(ours, **options), torch.optim.Adafactor(theirs, **options)
    for step in range(12):
        set_gradients(ours, step)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = torch.from_numpy(p.grad.numpy().copy())
        if step == 6:
            stored, b_stored = copy.deepcopy(a.state_dict()), b.state_dict()
            a = optim.Adafactor(ours, **options)
            a.load_state_dict(stored)
            for i, state in b_stored["state"].items():
                assert {k: tuple(v.shape) for k, v in state.items()} == {k: tuple(v.shape) for k, v in stored["state"][i].items()}
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-12)


def rosenbrock(lib, optimizer, steps=5, dtype="float64", resume=False, **options):
    """Losses and parameters on the way along Rosenbrock's valley, in two parameters."""
    xs = [lib.tensor(a, dtype=getattr(lib, dtype), requires_grad=True) for a in ([-1.5, 2.0], [[0.3, 1.1]])]
    opt, losses = optimizer(xs, **options), []

    def closure():
        opt.zero_grad()
        x = lib.cat([xs[0], xs[1].reshape(-1)])
        loss = ((1 - x[:-1]) ** 2).sum() + 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum()
        loss.backward()
        return loss

    for _ in range(steps):
        if resume:
            stored = copy.deepcopy(opt.state_dict())
            opt = optimizer(xs, **options)
            opt.load_state_dict(stored)
        losses.append(float(opt.step(closure).detach()))
    state = opt.state_dict()["state"][0]
    return np.array(losses + [float(v) for x in xs for v in x.detach().reshape(-1)]), state


@pytest.mark.parametrize("options", [
    {"lr": 1e-3}, {"lr": 1e-3, "history_size": 2, "max_iter": 7}, {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 6, "max_eval": 9, "lr": 0.7},
    {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-2, "tolerance_grad": 1e-1},
], ids=str)
def test_lbfgs_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    got, mine = rosenbrock(tg, optim.LBFGS, **options)
    want, theirs = rosenbrock(torch, torch.optim.LBFGS, **options)
    np.testing.assert_allclose(got, want, rtol=1e-8)
    assert (mine["func_evals"], mine["n_iter"]) == (theirs["func_evals"], theirs["n_iter"])
    assert set(mine) == set(theirs) - {"al"}  # scratch
    np.testing.assert_array_equal(rosenbrock(tg, optim.LBFGS, resume=True, **options)[0], got)


def test_lbfgs_finds_the_minimum():
    got, _ = rosenbrock(tg, optim.LBFGS, steps=3, line_search_fn="strong_wolfe")
    assert got[2] < got[1] < got[0]
    x = tg.tensor([5.0, -3.0], requires_grad=True)
    opt = optim.LBFGS([x], line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = (x * x * tg.tensor([1.0, 30.0])).sum()
        loss.backward()
        return loss

    opt.step(closure)
    assert x.abs().max().item() < 1e-4


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD",
                                  "Adafactor", "LBFGS"])
def test_signatures_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    ours, theirs = (inspect.signature(getattr(lib.optim, name).__init__).parameters for lib in (tg, torch))
    for key, p in theirs.items():
        assert (ours[key].kind, ours[key].default) == (p.kind, p.default), key
    positional = [k for k, p in theirs.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [k for k, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == positional
    assert set(ours) - set(theirs) <= {"master_weights"}


def test_foreach_off_is_a_call_for_each_parameter(monkeypatch):
    calls, run = [], tg.op.fn.adam_step
    monkeypatch.setattr(tg.op.fn, "adam_step", lambda params, *a, **k: (calls.append(len(params)), run(params, *a, **k))[1])
    for foreach, want in ((None, [3]), (True, [3]), (False, [1, 1, 1])):
        params = parameters()[:3]
        set_gradients(params, 0)
        optim.AdamW(params, foreach=foreach).step()
        assert calls == want
        del calls[:]


def test_adam_against_numpy():
    p = tg.tensor(np.linspace(-1, 1, 9), dtype=tg.float64).requires_grad_()
    optimizer = optim.Adam([p], lr=0.1)
    x, m, v = p.detach().numpy().copy(), np.zeros(9), np.zeros(9)
    for t in range(1, 21):
        g = np.sin(x * t)
        p.grad = tg.tensor(g)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), CONFIGS, ids=IDS)
def test_state_dict_round_trip_is_bit_exact(name, options):
    straight = parameters()
    optimizer = getattr(optim, name)(straight, **options)
    run(optimizer, straight, 7)
    stored, at = copy.deepcopy(optimizer.state_dict()), values(straight)
    run(optimizer, straight, 5, start=7)
    resumed = parameters(seed=5)
    for p, value in zip(resumed, at, strict=True):
        p.array[...] = value
    again = getattr(optim, name)(resumed, **{**options, "lr": 0.777})
    again.load_state_dict(stored)
    assert again.param_groups[0]["lr"] != 0.777
    run(again, resumed, 5, start=7)
    for a, b in zip(values(straight), values(resumed), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_updated_through_float32(dtype):
    p = tg.tensor(np.linspace(1, 2, 64), dtype=getattr(tg, dtype)).requires_grad_()
    before = p.detach().numpy().astype(np.float32)
    p.grad = tg.tensor(np.full(64, 0.5), dtype=getattr(tg, dtype))
    optim.SGD([p], lr=0.25).step()
    assert p.dtype.name == dtype
    np.testing.assert_array_equal(p.detach().numpy(), (before - np.float32(0.125)).astype(p.array.dtype))


def test_strided_parameters_and_gradients():
    base = np.arange(24.0).reshape(4, 6)
    p = tg.from_numpy(base.copy().T)  # columns of the memory are its rows
    memory = p.array.base
    p.requires_grad_()
    p.grad = tg.from_numpy(np.ones((4, 6)).T)
    optimizer = optim.SGD([p], lr=1.0, momentum=0.9)
    optimizer.step()
    optimizer.step()
    np.testing.assert_allclose(memory, base - 1 - 1.9)


def test_parameters_without_gradient_are_skipped_and_versions_count():
    a, b = (tg.tensor([1.0, 2.0]).requires_grad_() for _ in range(2))
    a.grad = tg.tensor([1.0, 1.0])
    optimizer = optim.Adam([a, b])
    optimizer.step()
    assert list(optimizer.state) == [a]
    assert b.tolist() == [1.0, 2.0]
    assert (a._version, b._version) == (1, 0)


def test_groups_have_options_of_their_own():
    a, b, c = (tg.tensor([1.0]).requires_grad_() for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "lr": 0.0})
    for p in (a, b, c):
        p.grad = tg.tensor([1.0])
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.9, 0.5, 1.0], rtol=1e-6)
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]
    assert "Parameter Group 2" in repr(optimizer)


def test_closure_and_zero_grad():
    p = tg.tensor([3.0]).requires_grad_()
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert p.item() == 0.0
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.item() == 0.0
    assert p.grad.array is grad.array
    optimizer.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda p: optim.SGD([p], lr=-1), ValueError, "SGD: lr must not be negative, got -1"),
    (lambda p: optim.SGD([p], lr=float("nan")), ValueError, "SGD: lr must not be negative, got nan"),
    (lambda p: optim.SGD([p], momentum=-0.1), ValueError, "SGD: momentum"),
    (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov needs a momentum above 0"),
    (lambda p: optim.SGD([p], lr="fast"), TypeError, "SGD: lr must be a number, got a str"),
    (lambda p: optim.Adam([p], betas=(1.0, 0.9)), ValueError, "Adam: betas[0] must lie in [0, 1), got 1.0"),
    (lambda p: optim.AdamW([p], eps=-1e-8), ValueError, "AdamW: eps"),
    (lambda p: optim.RMSprop([p], alpha=-1), ValueError, "RMSprop: alpha"),
    (lambda p: optim.Adadelta([p], rho=1.5), ValueError, "Adadelta: rho must lie in [0, 1], got 1.5"),
    (lambda p: optim.Adagrad([p], lr_decay=-1), ValueError, "Adagrad: lr_decay"),
    (lambda p: optim.Adamax([p], betas=(0.9, 1.0)), ValueError, "Adamax: betas[1] must lie in [0, 1), got 1.0"),
    (lambda p: optim.NAdam([p], momentum_decay=-1), ValueError, "NAdam: momentum_decay"),
    (lambda p: optim.RAdam([p], eps=-1), ValueError, "RAdam: eps"),
    (lambda p: optim.Rprop([p], etas=(1.2, 0.5)), ValueError, "Rprop: etas must be a number in (0, 1) and one above 1, got (1.2, 0.5)"),
    (lambda p: optim.ASGD([p], weight_decay=-1), ValueError, "ASGD: weight_decay"),
    (lambda p: optim.Adamax([p], differentiable=True), NotImplementedError, "Adamax: differentiable=True is not supported"),
    (lambda p: optim.Rprop([p], differentiable=True), NotImplementedError, "Rprop: differentiable=True is not supported"),
    (lambda p: optim.Adafactor([p], beta2_decay=0.1), ValueError, "Adafactor: beta2_decay must not be positive, got 0.1"),
    (lambda p: optim.Adafactor([p], d=0.5), ValueError, "Adafactor: d must be at least 1, got 0.5"),
    (lambda p: optim.Adafactor([p], foreach=True), NotImplementedError, "Adafactor: foreach=True is not supported"),
    (lambda p: optim.LBFGS([p], line_search_fn="armijo"), ValueError, "None or 'strong_wolfe', got 'armijo'"),
    (lambda p: optim.LBFGS([{"params": [p]}, {"params": [tg.ones(1)]}]), ValueError, "one group of parameters only"),
    (lambda p: optim.LBFGS([p, tg.ones(2, dtype=tg.float64)]), ValueError, "all parameters must be of one dtype"),
    (lambda p: optim.LBFGS([p]).step(), TypeError, "LBFGS.step: needs a closure"),
    (lambda p: optim.SGD([]), ValueError, "the list of parameters is empty"),
    (lambda p: optim.SGD(p), TypeError, "must be a list of tensors, not one tensor"),
    (lambda p: optim.SGD([p, p]), ValueError, "parameter 1 of shape (2,) appears more than once"),
    (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "appears more than once"),
    (lambda p: optim.SGD([p * 2]), ValueError, "only leaf tensors"),
    (lambda p: optim.SGD([3.0]), TypeError, "parameter 0 is a float"),
    (lambda p: optim.SGD([{"lr": 1.0}]), ValueError, "needs 'params'"),
])
def test_wrong_optimizers_are_refused(make, kind, message):
    with pytest.raises(kind) as caught:
        make(tg.tensor([1.0, 2.0]).requires_grad_())
    assert message in str(caught.value)


def test_state_of_other_parameters_is_refused():
    params = parameters()
    optimizer = optim.Adam(params)
    run(optimizer, params, 1)
    stored = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"the stored groups have \[6\] parameters, this optimizer's \[5\]"):
        optim.Adam(params[:5]).load_state_dict(stored)
    other = optim.Adam([tg.zeros(2).requires_grad_() for _ in params])
    with pytest.raises(ValueError, match=r"exp_avg of parameter 0 has shape \(\), but the parameter has \(2,\)"):
        other.load_state_dict(stored)
    assert not other.state


def test_clipping():
    params = parameters("float64")[1:]
    set_gradients(params, 0)
    norm = np.sqrt(sum((p.grad.numpy() ** 2).sum() for p in params))
    np.testing.assert_allclose(clip_grad_norm_(params, 2.0).item(), norm, rtol=1e-12)
    np.testing.assert_allclose(get_total_norm([p.grad for p in params]).item(), 2.0, rtol=1e-6)
    before = values([p.grad for p in params])
    clip_grad_norm_(params, 5.0)
    for g, p in zip(before, params, strict=True):
        np.testing.assert_array_equal(g, p.grad.numpy())
    largest = get_total_norm([p.grad for p in params], float("inf")).item()
    assert largest == max(np.abs(g).max() for g in before if g.size)
    clip_grad_value_(params, largest / 2)
    assert get_total_norm([p.grad for p in params], float("inf")).item() == largest / 2
    params[0].grad.array[0] = np.nan
    with pytest.raises(RuntimeError, match="the gradients is nan"):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    with pytest.raises(ValueError, match="norm_type must be above 0"):
        clip_grad_norm_(params, 1.0, norm_type=0)


@pytest.mark.parametrize("cls", [tg.optim.SGD, tg.optim.Adam, tg.optim.RMSprop, tg.optim.Adagrad, tg.optim.Adadelta])
@pytest.mark.parametrize("new", [lambda: tg.ones(10000), lambda: tg.ones(4, dtype=tg.float64)])
def test_state_of_a_parameter_that_changed_is_refused(cls, new):
    """A kernel that trusted the old state would read and write beyond it."""
    p = tg.nn.Parameter(tg.ones(4))
    optimizer = cls([p], lr=0.1, **({"momentum": 0.9} if cls is tg.optim.SGD else {}))
    p.sum().backward()
    optimizer.step()
    p.data, p.grad = new(), None
    p.sum().backward()
    with pytest.raises(RuntimeError, match="the state is float32 of shape"):
        optimizer.step()
