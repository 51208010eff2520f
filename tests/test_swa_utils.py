"""Averaged models: SWA and EMA step by step against PyTorch, batch norm's statistics, the schedule, storing, refusals."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.optim import swa_utils

AVERAGES = {
    "mean": lambda u: {},
    "EMA": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.8)},
    "EMA one by one": lambda u: {"avg_fn": u.get_ema_avg_fn(0.8)},
    "mean one by one": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "mean of lists": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "EMA of buffers too": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.7), "use_buffers": True},
    "mean of buffers too": lambda u: {"use_buffers": True},
}


def net(lib, seed=0):
    """The same small network with batch norm in either library."""
    rng = np.random.default_rng(seed)
    model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Linear(4, 2))
    with lib.no_grad():
        for p in model.parameters():
            p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32)))
    return model


def batches(lib, count=5):
    return [lib.tensor(np.random.default_rng(i).standard_normal((6, 3)).astype(np.float32)) for i in range(count)]


def follow(lib, utils, options):
    """The averaged model after five changes of the model."""
    model = net(lib)
    averaged = utils.AveragedModel(model, **options)
    for step, x in enumerate(batches(lib)):
        model(x)  # moves the running statistics
        with lib.no_grad():
            for p in model.parameters():
                p.add_(lib.tensor(0.5 + 0.1 * step))
        averaged.update_parameters(model)
    return averaged


@pytest.mark.parametrize("name", AVERAGES)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    from torch.optim import swa_utils as theirs

    mine, other = follow(tg, swa_utils, AVERAGES[name](swa_utils)), follow(torch, theirs, AVERAGES[name](theirs))
    a, b = mine.state_dict(), other.state_dict()
    assert list(a) == list(b)
    for key, value in a.items():
        np.testing.assert_allclose(value.numpy(), b[key].numpy(), rtol=1e-5, atol=1e-6, err_msg=key)
    assert mine.n_averaged.item() == 5


def test_update_bn_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    from torch.optim import swa_utils as theirs

    found = []
    for lib, utils in ((tg, swa_utils), (torch, theirs)):
        model = net(lib).eval()
        utils.update_bn([(x, "label") for x in batches(lib)], model)
        assert not model.training
        assert model[1].momentum == 0.1
        found.append([model[1].running_mean.numpy(), model[1].running_var.numpy(), model[1].num_batches_tracked.item()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    swa_utils.update_bn([], tg.nn.Linear(2, 2))


def test_momentum_is_back_after_an_error_in_the_loader():
    model = net(tg).eval()
    with pytest.raises(RuntimeError, match="features"):
        swa_utils.update_bn([tg.ones(2, 7)], model)
    assert (model[1].momentum, model.training) == (0.1, False)


@pytest.mark.parametrize("options", [{"anneal_epochs": 5}, {"anneal_strategy": "linear", "anneal_epochs": 4}, {"anneal_epochs": 0}],
                         ids=str)
def test_the_schedule_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    from torch.optim import swa_utils as theirs

    found = []
    for lib, utils in ((tg, swa_utils), (torch, theirs)):
        a, b = lib.zeros(1, requires_grad=True), lib.zeros(1, requires_grad=True)
        opt = lib.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
        scheduler, seen = utils.SWALR(opt, [0.02, 0.05], **options), []
        for _ in range(9):
            opt.step()
            scheduler.step()
            seen.append(scheduler.get_last_lr())
        found.append(seen)
    np.testing.assert_allclose(*found, rtol=1e-10)


def test_an_average_is_stored_and_is_no_part_of_the_model():
    model = net(tg)
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(model)
    with tg.no_grad():
        model[0].weight.fill_(1.0)
    averaged.update_parameters(model)
    assert not np.allclose(averaged.module[0].weight.detach().numpy(), 1.0)
    assert averaged.module[0].weight.requires_grad
    again = swa_utils.AveragedModel(net(tg, seed=3))
    again.load_state_dict(averaged.state_dict())
    assert again.n_averaged.item() == 2
    averaged.eval()
    again.eval()
    x = batches(tg, 1)[0]
    np.testing.assert_array_equal(averaged(x).detach().numpy(), again(x).detach().numpy())


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: swa_utils.get_ema_avg_fn(1.5), ValueError, "get_ema_avg_fn: decay must lie in [0, 1], got 1.5"),
    (lambda: swa_utils.get_ema_multi_avg_fn(-1), ValueError, "get_ema_multi_avg_fn: decay must lie in [0, 1], got -1"),
    (lambda: swa_utils.AveragedModel(net(tg), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn()),
     ValueError, "give avg_fn or multi_avg_fn, not both"),
    (lambda: swa_utils.AveragedModel(net(tg)).update_parameters(tg.nn.Linear(3, 4)), ValueError, "the model has 2 parameters"),
    (lambda: swa_utils.SWALR(tg.optim.SGD([tg.zeros(1, requires_grad=True)]), 0.1, anneal_strategy="step"), ValueError, "got 'step'"),
    (lambda: swa_utils.SWALR(tg.optim.SGD([tg.zeros(1, requires_grad=True)]), 0.1, anneal_epochs=-1), ValueError, "at least 0, got -1"),
])
def test_what_is_wrong_is_refused(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert message in str(caught.value)
