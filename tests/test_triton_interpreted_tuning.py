"""`tensorgrad tune` without a GPU: candidates run in Triton's interpreter, a clock of the test's own says what they cost."""
from __future__ import annotations

import importlib
import json

import cupy_double
import ml_dtypes
import numpy as np
import pytest
from commands import fails, run

from tensorgrad import triton
from tensorgrad.errors import UserError

if triton.absent() or not triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process with TRITON_INTERPRET=1", allow_module_level=True)

from tensorgrad.cli import tune as command
from tensorgrad.cuda import driver
from tensorgrad.triton import tuned
from tensorgrad.triton.runtime import SPACES, Space, tuning

list(triton.load_kernels())
matmul = importlib.import_module("tensorgrad.triton.matmul")
attention = importlib.import_module("tensorgrad.triton.attention")
CHIP = "interpreter"
PRODUCTS = Space("matmul v08_tensor_core", "float16", {"BM": (16, 32), "BN": (32,), "BK": (16,), "num_warps": (4,), "num_stages": (3,)},
                 "MxNxK", (), matmul.product, 1)
SHAPE = (40, 48, 32)
KEY = "matmul v08_tensor_core float16 64x64x32"


class Fake:
    """A machine whose clock is a list: seconds of one candidate after the other."""

    def __init__(self, *seconds):
        self.left, self.timed = list(seconds), 0

    def put(self, array):
        return array.copy()

    def get(self, array):
        return array.copy()

    def seconds(self, run):
        self.timed += 1
        said = self.left.pop(0)
        if said is KeyboardInterrupt:
            raise said
        run()
        return said


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TG_CACHE", str(tmp_path))
    tuned.tables.cache_clear()
    yield
    tuned.tables.cache_clear()
    for plans in (matmul, attention):
        for value in vars(plans).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def tune(machine, space=PRODUCTS, dtype="float16", shape=SHAPE):
    return list(tuning.tune(space, dtype, shape, machine, tuned.kept(CHIP), CHIP))


def kept(key=KEY):
    return json.loads(tuned.kept(CHIP).read_text())["tried"][key]


def tiles(monkeypatch):
    """The sizes of the tiles that products are launched with."""
    seen, kernel = [], matmul.matmul_tile

    class Spy:
        def __getitem__(self, grid):
            launch = kernel[grid]
            bind = launch.bind
            launch.bind = lambda *last, **given: seen.append((given["BM"], given["BN"], given["BK"])) or bind(*last, **given)
            return launch

    monkeypatch.setattr(matmul, "matmul_tile", Spy())
    return seen


def multiply(dtype=np.float16):
    a, b = (np.random.default_rng(i).standard_normal(s).astype(dtype) for i, s in enumerate(((40, 32), (32, 48))))
    c = np.full((40, 48), np.nan, dtype)
    matmul.by_pointers("tf32", (128, 128), 64, c, a, b)
    want = a.astype(np.float64) @ b.astype(np.float64)
    assert np.linalg.norm(c - want) < 1e-2 * np.linalg.norm(want)


def test_the_fastest_candidate_is_launched_from_then_on(monkeypatch):
    seen = tiles(monkeypatch)
    multiply()
    said = tune(Fake(3e-4, 1e-4, 2e-4))  # the default, then the two of the space
    assert [(done, of) for done, of, _ in said] == [(1, 3), (2, 3), (3, 3)]
    assert said[1][2] == f"{KEY} BM=16 BN=32 BK=16 num_warps=4 num_stages=3: 100.0 us"
    seen.clear()
    multiply()
    multiply(ml_dtypes.bfloat16)
    assert seen == [(16, 32, 16), (64, 64, 64)]  # another dtype has its default


def test_an_interrupted_run_goes_on_where_it_was():
    first, second = Fake(3e-4, KeyboardInterrupt), Fake(1e-4, 2e-4)
    with pytest.raises(KeyboardInterrupt):
        tune(first)
    assert tuned.trial is None
    assert [e["seconds"] for e in kept()] == [3e-4]
    multiply()  # with what there is so far
    tune(second)
    assert second.timed == 2
    assert [e["seconds"] for e in kept()] == [3e-4, 1e-4, 2e-4]
    third = Fake()
    assert len(tune(third)) == 3
    assert third.timed == 0


@pytest.mark.parametrize("wrong", [0.5, np.nan, None], ids=["half", "nan", "not written"])
def test_a_wrong_candidate_is_never_chosen(wrong, monkeypatch):
    """One with tiles of 16 rows, which would be the fastest by far."""
    lookup, real = matmul.lookup, tuning.kernel_of("matmul v08_tensor_core")
    planted = []

    def spied(*args):
        planted[:] = [lookup(*args)["BM"] == 16]
        return lookup(*args)

    def run(c, a, b):
        before = c.copy()
        real(c, a, b)
        if planted[0]:
            c[:] = before if wrong is None else c * wrong

    monkeypatch.setattr(matmul, "lookup", spied)
    monkeypatch.setattr(tuning, "kernel_of", lambda rung: run)
    machine = Fake(3e-4, 2e-4)
    tune(machine)
    default, bad, good = kept()
    assert bad["configuration"]["BM"] == 16
    assert bad["passed_over"].startswith("wrong: differs from the default's result by ")
    assert machine.timed == 2  # what is wrong is not even timed
    assert tuned.best(kept()) == good["configuration"] != default["configuration"]


def test_what_cannot_be_launched_is_passed_over_by_name_and_other_errors_end_the_run():
    class Refusing(Fake):
        def __init__(self, *errors):
            super().__init__()
            self.errors = list(errors)

        def seconds(self, run):
            raise self.errors.pop(0)

    needs = "matmul_tile: cuFuncSetAttribute failed with CUDA_ERROR_INVALID_VALUE: the kernel needs 300000 bytes of shared memory"
    with pytest.raises(RuntimeError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        tune(Refusing(RuntimeError(needs), tuning.Unfit("spills 64 bytes"), RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")))
    assert [e["passed_over"] for e in kept()] == [needs, "spills 64 bytes"]
    assert tuned.best(kept()) is None


def test_attention_is_tuned_with_both_of_its_results():
    space = Space("attention v02_flash_tensor_core", "float16", {"BM": (16,), "BN": (16, 32), "num_warps": (4,), "num_stages": (2,)},
                  "QUERIESxKEYSxWIDTHxCAUSAL", (), attention.heads_to_tune_with, 2)
    for causal in (0, 1):
        tune(Fake(3e-4, 2e-4, 1e-4), space, shape=(20, 20, 16, causal))
        key = f"attention v02_flash_tensor_core float16 32x32x16x{causal}"
        assert tuned.best(kept(key)) == {"BM": 16, "BN": 32, "num_warps": 4, "num_stages": 2}


def test_every_space_is_of_a_rung_that_asks_for_what_it_declares():
    for space in SPACES.values():
        shape = (20, 24, 16, 1)[:len(space.sizes.split("x"))] if "attention" in space.rung else (16, 32, 32)
        kind = space.dtypes.split()[0]
        arguments = space.sample(np.dtype(kind), *shape)
        with tuning.trying(space.rung) as trial:
            tuning.kernel_of(space.rung)(*arguments)
        ((key, default),) = trial.asked.items()
        assert key.startswith(f"{space.rung} {kind} ")
        assert set(default) == set(space.values)
        assert all(tuned.sound({"configuration": c, "seconds": 1.0}) for c in space.candidates(default))
        assert all(len(s) == len(shape) for s in space.shapes)


def test_what_the_command_is_asked_for():
    every = command.wanted(SPACES, None, None, None)
    assert {s.rung for s, _, _ in every} == set(SPACES)
    assert [(s.rung, kind, sizes) for s, kind, sizes in command.wanted(SPACES, "matmul v09_hopper", "float16", ["8x16x32"])] == [
        ("matmul v09_hopper", "float16", (8, 16, 32))]
    for arguments, said in ((("conv2d", None, None), "there is nothing to tune for 'conv2d'; there is for attention v02"),
                            (("attention", "float32", None), "v02_flash_tensor_core is not for float32; it is for float16 bfloat16"),
                            (("matmul", None, ["8x8"]), "is MxNxK, not '8x8'"), (("matmul", None, ["8x8xa"]), "is MxNxK, not '8x8xa'")):
        with pytest.raises(UserError, match=said):
            command.wanted(SPACES, *arguments)


def test_the_command_from_beginning_to_end(capsys, monkeypatch):
    """On a machine that says it has a GPU."""
    monkeypatch.setattr(driver, "examine", lambda: driver.State(13000, 1, None, "cupy"))
    monkeypatch.setattr(triton, "INTERPRETED", False)
    for rung in list(SPACES):
        monkeypatch.delitem(SPACES, rung)
    monkeypatch.setitem(SPACES, PRODUCTS.rung, PRODUCTS)
    machines = iter([Fake(3e-4, KeyboardInterrupt), Fake(1e-4, 2e-4)])
    monkeypatch.setattr(tuning, "Gpu", lambda: next(machines))
    arguments = ["tune", "matmul", "--dtype", "float16", "--shape", "40x48x32"]
    stopped = run(capsys, *arguments)
    path = tuned.kept(CHIP)
    assert (stopped.code, stopped.err.splitlines()[0]) == (130, f"what is done is kept in {path}; the same command goes on from there")
    done = run(capsys, *arguments)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith(f"1/1 1/3 {KEY} BM=64 BN=64 BK=64 ")
    assert lines[3:] == [f"{KEY}: BM=16 BN=32 BK=16 num_warps=4 num_stages=3", f"kept in {path}"]
    path.write_text("{")
    assert "is ignored: it is damaged, no JSON; move it away, and tune begins a new one" in fails(capsys, *arguments)
    assert path.read_text() == "{"


def test_a_gpu_is_timed_by_its_events(monkeypatch):
    """On the double of CuPy, whose clock is no GPU's: that arrays come back, and each turn is between events and after the caches."""
    with cupy_double.installed():
        machine = tuning.Gpu()
        for kind in (np.float16, ml_dtypes.bfloat16):
            a = np.arange(6, dtype=np.float32).astype(kind).reshape(2, 3)
            assert (machine.get(machine.put(a)) == a).all()
        happened = []
        cold = type("Cold", (), {"fill": lambda self, value: happened.append("caches")})
        times = iter([3.0, 1.0, 2.0])
        monkeypatch.setattr(machine, "others", cold())
        monkeypatch.setattr(machine.cupy.cuda, "get_elapsed_time", lambda start, stop: happened.append("stop") or next(times))
        assert machine.seconds(lambda: happened.append("run"), turns=3) == 2e-3
    assert happened == ["caches", "run", "stop"] * 3
