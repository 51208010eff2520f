"""Anomaly mode names the first op to make NaN or infinity, and the line that called it."""
from __future__ import annotations

import inspect
import math

import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.anomaly import AnomalyError
from tensorgrad.autograd import Function, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from tensorgrad.op import OBSERVERS


def here(offset=0):
    frame = inspect.currentframe().f_back
    return f"{__file__}:{frame.f_lineno + offset}"


def test_forward_names_the_op_and_the_line():
    x = tg.tensor([1.0, -1.0])
    with detect_anomaly():
        y = x * 2
        with pytest.raises(AnomalyError) as caught:
            y.log()
        where = here(-1)
    assert str(caught.value) == f"log: its output has 1 NaN of 2 values, and its inputs had none; called at {where}"


def test_infinity_counts_and_bad_inputs_are_not_blamed_on_the_op():
    with detect_anomaly():
        with pytest.raises(AnomalyError, match="exp: its output has 1 infinite of 2 values"):
            tg.tensor([1000.0, 0.0]).exp()
        bad = tg.tensor([float("nan"), float("inf")])
        assert math.isnan((bad * 2 + 1).tolist()[0])
        tg.ones(2) * float("inf")


def test_inside_a_module_the_users_line_is_named():
    m = nn.Sequential(nn.Sigmoid(), nn.Tanh())
    m[0].register_forward_hook(lambda mod, args, out: out - 1e6)

    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    m.append(Log())
    line = inspect.getsourcelines(Log.forward)[1] + 1
    with detect_anomaly(), pytest.raises(AnomalyError, match=rf"log: .*test_anomaly\.py:{line}$"):
        m(tg.ones(3))


def test_backward_names_the_op_and_where_its_forward_was_called():
    x = tg.tensor([0.0, 4.0], requires_grad=True)
    with detect_anomaly():
        y = x.sqrt()
        where = here(-1)
        with pytest.raises(AnomalyError) as caught:
            y.sum().backward()
    assert str(caught.value) == ("backward of sqrt: its gradients have 1 infinite of 2 values, and those it was given had none; "
                                 f"its forward was called at {where}")


def test_backward_of_a_forward_outside_the_mode():
    x = tg.tensor([0.0], requires_grad=True)
    y = x.sqrt()
    with detect_anomaly(), pytest.raises(AnomalyError, match="its forward ran before anomaly mode was on"):
        y.backward()


def test_errors_in_backward_are_told_where_they_began():
    class Broken(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise ValueError("broken")

    x = tg.ones(1, requires_grad=True)
    with detect_anomaly(check_nan=False):
        y = Broken.apply(x)
        where = here(-1)
        with pytest.raises(ValueError, match="broken") as caught:
            y.backward()
    assert caught.value.__notes__ == [f"in the backward of Broken, whose forward was called at {where}"]


def test_without_check_nan_nothing_is_looked_at():
    with detect_anomaly(check_nan=False):
        assert math.isnan(tg.tensor([-1.0]).log().item())


def test_switching():
    assert not is_anomaly_enabled()
    set_detect_anomaly(True)
    assert is_anomaly_enabled()
    with set_detect_anomaly(False):
        assert not is_anomaly_enabled()
        tg.tensor([-1.0]).log()
    assert is_anomaly_enabled()
    set_detect_anomaly(False)
    assert not is_anomaly_enabled()
    with detect_anomaly():
        with detect_anomaly(check_nan=False):
            tg.tensor([-1.0]).log()
        with pytest.raises(AnomalyError):
            tg.tensor([-1.0]).log()
    assert not OBSERVERS
    tg.tensor([-1.0]).log()


def test_tg_autograd_offers_the_same():
    assert tg.autograd.set_detect_anomaly is set_detect_anomaly
