"""`use_deterministic_algorithms`: which kernels may run, and what is said of the others."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import dispatch

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
UNORDERED = [k for kernels in dispatch.kernels_of("emu").values() for k in kernels.values() if not k.deterministic]
DEFAULT = "cuda/v01_sorted"


@pytest.fixture(autouse=True)
def restored():
    yield
    tg.use_deterministic_algorithms(False)


def add():
    x, i, s = tg.zeros(3, device="emu"), tg.tensor([0, 2, 0], device="emu"), tg.ones(3, device="emu")
    return x.scatter_add(0, i, s).tolist()


def test_some_kernels_say_that_they_are_not():
    assert {(k.op, k.path) for k in UNORDERED} >= {(op, "cuda/atomic") for op in ("scatter_add", "accumulate", "add_rows")}


@pytest.mark.parametrize("kernel", UNORDERED, ids=lambda k: f"{k.op} {k.path}")
def test_they_are_never_chosen_unless_named(kernel):
    op = dispatch._ops[kernel.op]
    for asked in ("cuda", None):
        with tg.kernels.use(op.name, asked):
            assert dispatch.choose(op, tg.device("emu"), "float32").deterministic
    with tg.kernels.use(op.name, kernel.path):
        assert dispatch.choose(op, tg.device("emu"), "float32").path == kernel.path


def test_the_mode_refuses_them_by_name_and_says_what_will_do():
    with tg.kernels.use("scatter_add", "cuda/atomic"):
        assert add() == [2, 0, 1]
        tg.use_deterministic_algorithms(True)
        assert tg.are_deterministic_algorithms_enabled()
        assert not tg.is_deterministic_algorithms_warn_only_enabled()
        with pytest.raises(RuntimeError) as caught:
            add()
    said = str(caught.value)
    assert said.startswith("scatter_add on emu: cuda/atomic was asked for by kernels.use, but cuda/atomic is not deterministic")
    assert DEFAULT in said.partition("what does: ")[2]
    assert add() == [2, 0, 1]
    tg.use_deterministic_algorithms(False)
    assert not tg.are_deterministic_algorithms_enabled()
    with tg.kernels.use("scatter_add", "cuda/atomic"):
        assert add() == [2, 0, 1]


def test_warn_only_goes_on():
    tg.use_deterministic_algorithms(True, warn_only=True)
    assert tg.are_deterministic_algorithms_enabled()
    assert tg.is_deterministic_algorithms_warn_only_enabled()
    words = "scatter_add on emu: cuda/atomic is not deterministic"
    with tg.kernels.use("scatter_add", "cuda/atomic"), pytest.warns(UserWarning, match=words):
        assert add() == [2, 0, 1]


def test_an_op_without_a_deterministic_kernel_is_named(monkeypatch):
    op = dispatch._ops["scatter_add"]
    only = [k for k in dispatch.ordered(op, "emu") if not k.deterministic]
    monkeypatch.setattr(dispatch, "ordered", lambda *args: only)
    tg.use_deterministic_algorithms(True)
    with pytest.raises(RuntimeError, match="scatter_add on emu: cuda/atomic is not deterministic"):
        add()


def test_a_whole_training_step_runs_under_it():
    tg.use_deterministic_algorithms(True)
    found = []
    for seed in (0, 3):
        emu.configure(seed=seed)
        rng = np.random.default_rng(0)
        table, w = (tg.tensor(rng.standard_normal(s).astype(np.float32), device="emu").requires_grad_() for s in ((11, 6), (6, 4)))
        hidden = tg.nn.functional.embedding(tg.tensor(rng.integers(0, 11, (5, 7)), device="emu"), table) @ w
        tg.nn.functional.cross_entropy(hidden.mean(1), tg.tensor(rng.integers(0, 4, 5), device="emu")).backward()
        tg.optim.AdamW([table, w]).step()
        found.append(table.detach().numpy().tobytes() + w.detach().numpy().tobytes())
    emu.configure(seed=0)
    assert found[0] == found[1]


def test_a_wrong_mode_is_refused():
    with pytest.raises(TypeError, match="mode must be True or False, not 'error'"):
        tg.use_deterministic_algorithms("error")
