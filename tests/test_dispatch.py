"""Choosing kernels: defaults, `use`, TG_KERNELS, and what cannot be chosen."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import backends, dispatch

X = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)


@pytest.fixture
def ran(monkeypatch):
    """The paths of the softmax kernels that ran, in order."""
    paths = []
    op = dispatch._ops["softmax"]
    original = dispatch.choose

    def spy(which, *args):
        kernel = original(which, *args)
        if which is op:
            paths.append(kernel.path)
        return kernel

    monkeypatch.setattr(dispatch, "choose", spy)
    op.picked.clear()
    return paths


def test_the_first_default_that_supports_the_call_wins(ran):
    tg.softmax(tg.tensor(X), 1)
    assert ran == [dispatch.ordered(dispatch._ops["softmax"], "cpu")[0].path] == ["cpu/rows"]


def test_use_as_context_and_for_good(ran):
    want = tg.softmax(tg.tensor(X), 1).numpy()
    with tg.kernels.use("softmax", "cpu/numpy"):
        got = tg.softmax(tg.tensor(X), 1).numpy()
    tg.softmax(tg.tensor(X), 1)
    assert ran == ["cpu/rows", "cpu/numpy", "cpu/rows"]
    assert np.allclose(want, got, rtol=1e-6)
    tg.kernels.use("softmax", "cpu/numpy")
    try:
        tg.softmax(tg.tensor(X), 1)
        with tg.kernels.use("softmax", None):
            tg.softmax(tg.tensor(X), 1)
        tg.softmax(tg.tensor(X), 1)
    finally:
        tg.kernels.use("softmax", None)
    assert ran[3:] == ["cpu/numpy", "cpu/rows", "cpu/numpy"]


def test_the_choice_covers_the_backward_kernels():
    backward = dispatch._ops["softmax_backward"]
    with tg.kernels.use("softmax", "cpu/numpy"):
        assert dispatch.choose(backward, tg.device("cpu"), "float32").path == "cpu/numpy"
    assert dispatch.choose(backward, tg.device("cpu"), "float32").path == "cpu/rows"


def test_a_family_for_everything():
    with tg.kernels.use("*", "cpu"):
        tg.softmax(tg.tensor(X), 1)


@pytest.mark.parametrize(("op", "path", "message"), [
    ("softmax", "cpu/fastest", r"softmax has no kernel 'cpu/fastest'; there are: cpu/numpy, cpu/rows"),
    ("softmaxx", "cpu/rows", r"there is no op 'softmaxx'; near it: .*softmax"),
    ("*", "triton", r"\* has no kernel 'triton'; there are: cpu"),
])
def test_unknown_choices_name_what_there_is(op, path, message):
    with pytest.raises(ValueError, match=message):
        tg.kernels.use(op, path)


def test_a_choice_that_cannot_do_the_call_is_an_error_not_a_fallback():
    wanted = r"matmul on cpu: cpu/openblas was asked for by kernels\.use"
    with tg.kernels.use("matmul", "cpu/openblas"), pytest.raises(NotImplementedError, match=wanted):
        tg.matmul(tg.ones(2, 2, dtype=tg.int64), tg.ones(2, 2, dtype=tg.int64))


def run(code, kernels):
    env = {**os.environ, "TG_KERNELS": kernels}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


CODE = "import tensorgrad as tg; tg.softmax(tg.ones(2, 2), 1); from tensorgrad import dispatch as d; " \
       "print(d.choose(d._ops['softmax'], tg.device('cpu'), 'float32').path)"


def test_the_environment_chooses():
    assert run(CODE, "softmax=cpu/numpy, matmul=cpu/openblas").stdout.strip() == "cpu/numpy"


def test_a_wrong_environment_is_an_error_that_names_it():
    assert "TG_KERNELS: softmax has no kernel 'cpu/nothing'" in run(CODE, "softmax=cpu/nothing").stderr
    assert "TG_KERNELS: there is no op 'sofmax'; near it: softmax" in run(CODE, "sofmax=cpu/rows").stderr


def test_the_list_holds_every_kernel_with_its_source():
    rows = tg.kernels.list()
    assert {(k.op, k.path) for k in rows} >= {("softmax", "cpu/rows"), ("softmax", "cpu/numpy"), ("exp", "cpu/numpy")}
    for k in rows:
        assert k.source.endswith((".cpp", ".cu", ".py"))
        assert k.dtypes
        assert k.device == "cpu" or k.family != "cpu"
    assert next(k.path for k in tg.kernels.list("softmax")) == "cpu/rows"


def test_each_compiled_kernel_belongs_to_an_op():
    """A kernel whose op's name is misspelt would never run."""
    assert set(dispatch.kernels_of("cpu")) <= set(dispatch._ops) | {"philox"}


def test_kernels_refuse_what_they_cannot_read():
    kernel = dispatch.kernels_of("cpu")["softmax"]["cpu/rows"].call
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=r"softmax \(cpu/rows\): expected 5 arguments, got 2"):
        kernel(x, x)
    with pytest.raises(ValueError, match="arrays, numbers and None, not str"):
        kernel(x, "x", 1, 2, 2)
    frozen = x.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="argument 0 is read-only"):
        kernel(frozen, x, 1, 2, 2)
    with pytest.raises(ValueError, match="native byte order"):
        kernel(x, x.astype(">f4"), 1, 2, 2)


def test_devices_that_are_not_there():
    with pytest.raises(ValueError, match="this installation has no device 'tpu'; it has: cpu"):
        tg.zeros(2, device="tpu")
    with pytest.raises(ValueError, match="'cpu:1' does not exist"):
        tg.zeros(2, device="cpu:1")
    with pytest.raises(TypeError, match="expected a name such as 'cpu'"):
        tg.device(3)


def test_a_family_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(dispatch.triton, "absent", lambda: "Triton is not installed: pip install it")
    with pytest.raises(ValueError, match=r"softmax has no kernel 'triton/v99'; there are: .*\. Triton is not installed: pip install it"):
        tg.kernels.use("softmax", "triton/v99")


def test_threads_that_ask_first_see_whole_tables(monkeypatch):
    backend = backends.load("emu")
    kernels, found = list(backend.load_kernels()), []

    def slowly():
        for i, kernel in enumerate(kernels):
            if i == len(kernels) // 2:
                time.sleep(0.05)
            yield kernel

    whole = {op: set(paths) for op, paths in dispatch.kernels_of("emu").items()}
    monkeypatch.setattr(backend, "load_kernels", slowly)
    monkeypatch.setattr(dispatch, "_kernels", {})
    threads = [threading.Thread(target=lambda: found.append({op: set(paths) for op, paths in dispatch.kernels_of("emu").items()}))
               for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [whole] * 4
