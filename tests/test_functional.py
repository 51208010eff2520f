"""nn.functional offers every op that declares itself functional, with PyTorch's inplace arguments."""
from __future__ import annotations

import pytest

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F


def test_every_functional_op_is_offered():
    wanted = [name for op in dispatch._ops.values() if op.functional for name in (op.name, *op.aliases)]
    assert len(wanted) > 50
    assert not [name for name in wanted if not callable(getattr(F, name, None))]


def test_no_op_that_is_not_functional_slips_in():
    offered = {op.name for op in dispatch._ops.values() if op.functional}
    others = {op.name for op in dispatch._ops.values() if not op.functional and not op.function and not op.method}
    assert not [name for name in others - offered if hasattr(F, name)]


@pytest.mark.parametrize("name", [op.name for op in dispatch._ops.values() if op.functional and op.inplace])
def test_inplace(name):
    def sample():
        return tg.tensor([[-2.5, -0.5, 0.25, 3.5]] * 2)

    extra = {"threshold": (0.1, 7.0), "softmax": (-1,), "log_softmax": (-1,)}.get(name, ())
    f = getattr(F, name)
    want = f(sample(), *extra).tolist()
    x = sample()
    assert f(x, *extra, inplace=True) is x
    assert x.tolist() == want
    y = sample()
    assert getattr(F, name + "_")(y, *extra) is y
    assert y.tolist() == want


def test_inplace_by_position():
    x = tg.tensor([-1.0, 1.0])
    assert F.relu(x, True) is x
    assert F.leaky_relu(tg.tensor([-1.0]), 0.5, True).item() == -0.5
    assert F.elu(x, 1.0, False) is not x
