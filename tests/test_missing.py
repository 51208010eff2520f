"""What is asked for and not there: an AttributeError that names the nearest thing there is, in every namespace."""
from __future__ import annotations

import pytest

import tensorgrad as tg

ASKED = [
    (lambda: tg.sofmax, "tensorgrad has no sofmax yet; the nearest is softmax"),
    (lambda: tg.nn.Convv2d, "tensorgrad has no nn.Convv2d yet; the nearest is nn.Conv2d"),
    (lambda: tg.nn.functional.reluu, "tensorgrad has no nn.functional.reluu yet; the nearest is nn.functional.relu"),
    (lambda: tg.nn.init.kaiming_gaussian_, "tensorgrad has no nn.init.kaiming_gaussian_ yet; the nearest is nn.init.kaiming_"),
    (lambda: tg.nn.utils.clip_norm_, "tensorgrad has no nn.utils.clip_norm_ yet; the nearest is nn.utils.clip_grad_norm_"),
    (lambda: tg.nn.modules.Liner, "tensorgrad has no nn.modules.Liner yet; the nearest is nn.modules.Linear"),
    (lambda: tg.optim.AdamZ, "tensorgrad has no optim.AdamZ yet; the nearest is optim.Adam"),
    (lambda: tg.optim.lr_scheduler.StepsLR, "tensorgrad has no optim.lr_scheduler.StepsLR yet; the nearest is optim.lr_scheduler.StepLR"),
    (lambda: tg.utils.data.Datasets, "tensorgrad has no utils.data.Datasets yet; the nearest is utils.data.Dataset"),
    (lambda: tg.autograd.gradchecks, "tensorgrad has no autograd.gradchecks yet; the nearest is autograd.grad"),
    (lambda: tg.ones(2).sofmax(0), "tensorgrad has no Tensor.sofmax yet; the nearest is Tensor.softmax"),
    (lambda: tg.polar, "tensorgrad has no polar: complex numbers are out of its scope"),
    (lambda: tg.ones(2).to_sparse(), "tensorgrad has no Tensor.to_sparse: sparse tensors are out of its scope"),
]


@pytest.mark.parametrize(("ask", "message"), ASKED, ids=[m.split()[3] for _, m in ASKED])
def test_the_nearest_is_named(ask, message):
    with pytest.raises(AttributeError) as caught:
        ask()
    assert str(caught.value).startswith(message)


PLACES = [tg, tg.nn, tg.nn.functional, tg.nn.init, tg.optim, tg.ones(2)]


@pytest.mark.parametrize("place", PLACES, ids=lambda p: getattr(p, "__name__", "Tensor"))
def test_asking_is_cheap_and_false(place, monkeypatch):
    monkeypatch.setattr("difflib.get_close_matches", None)  # looked for when the error is printed, not when it is raised
    assert not hasattr(place, "no_such_thing")
    assert not hasattr(place, "_no_such_thing")
    assert not hasattr(place, "__no_such_thing__")


def test_what_a_property_raises_is_not_hidden():
    with pytest.raises(AttributeError, match="the tensor is on cpu, not on cuda"):
        _ = tg.ones(2).__cuda_array_interface__


def test_subpackages_come_when_they_are_asked_for():
    assert tg.nn.utils.__name__ == "tensorgrad.nn.utils"
    assert tg.utils.checkpoint.checkpoint.__name__ == "checkpoint"
