"""Networks that the literature and PyTorch's own packages describe, from ordinary PyTorch code whose imports name tensorgrad.

Each file of `architectures` says what it defines: `MODELS`, name -> (constructor, documented number of parameters or None, some keys
of its state_dict), and `SMALL`, name -> (constructor of a small one, shape of the input, shape of the output). Counted without drawing
weights, whose memory nobody touches. Where PyTorch is installed the same file runs on it, with the imports changed back: same keys and
shapes, and of the small ones the same output and gradients of all parameters in float32, to 1e-3 of each tensor's largest value
or twice PyTorch's own error.
"""
from __future__ import annotations

import copy
import importlib
import itertools
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn

sys.path.insert(0, str(Path(__file__).parent))
FILES = sorted(p.stem for p in (Path(__file__).parent / "architectures").glob("*.py"))
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # PyTorch of its own choice
OURS = {name: importlib.import_module(f"architectures.{name}") for name in FILES}


def all_of(table):
    return [pytest.param(file, name, id=name) for file, module in OURS.items() for name in getattr(module, table)]


def theirs(file):
    """The same file on PyTorch."""
    pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    text = Path(OURS[file].__file__).read_text().replace("import tensorgrad as torch", "import torch").replace("tensorgrad", "torch")
    module = types.ModuleType(f"{file}_on_torch")
    exec(compile(text, module.__name__, "exec"), vars(module))
    return module


def test_there_are_enough():
    assert len(all_of("MODELS")) >= 60
    assert len(all_of("SMALL")) >= 30


@pytest.mark.parametrize(("file", "name"), all_of("MODELS"))
def test_parameters_and_keys(file, name):
    build, count, keys = OURS[file].MODELS[name]
    with nn.init.skipped():
        model = build()
    if count is not None:
        assert sum(p.numel() for p in model.parameters()) == count
    state = model.state_dict()
    assert not set(keys.split()) - set(state)
    other = theirs(file)
    import torch

    with torch.device("meta"):
        twin = other.MODELS[name][0]()
    assert {k: tuple(t.shape) for k, t in state.items()} == {k: tuple(t.shape) for k, t in twin.state_dict().items()}
    assert list(state) == list(twin.state_dict())
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in twin.named_parameters()]


def first(out):
    return first(out[0]) if isinstance(out, tuple) else out


def results(model, x, weight):
    """The output and the gradient of each parameter that has one."""
    out = first(model(x))
    (out * weight).sum().backward()
    return {"output": out.detach().numpy(), **{n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}}


@pytest.mark.parametrize(("file", "name"), all_of("SMALL"))
def test_output_and_gradients(file, name):
    build, shape, out_shape = OURS[file].SMALL[name]
    rng = np.random.default_rng(0)
    x = rng.integers(0, shape[1], shape[2]) if shape[0] == "int" else rng.normal(size=shape).astype(np.float32)
    weight = rng.normal(size=out_shape).astype(np.float32)
    other = theirs(file)
    import torch

    torch.manual_seed(0)
    twin, model = other.SMALL[name][0](), build()
    model.load_state_dict({k: v.numpy() for k, v in twin.state_dict().items()})
    for m in itertools.chain(model.modules(), twin.modules()):
        if type(m).__name__.startswith(("Dropout", "Stochastic")):
            m.p = 0.0
        elif isinstance(m, (nn.RNNBase, torch.nn.RNNBase)):
            m.dropout = 0.0
    exact = results(copy.deepcopy(twin).double(), torch.tensor(x.astype(np.float64) if x.dtype == np.float32 else x), torch.tensor(weight))
    want, mine = results(twin, torch.tensor(x), torch.tensor(weight)), results(model, tg.tensor(x), tg.tensor(weight))
    assert mine["output"].shape == want["output"].shape == out_shape
    assert list(mine) == list(want)
    largest = max(np.abs(g).max(initial=0) for g in exact.values())
    for what, b in want.items():
        size = np.abs(exact[what]).max(initial=0)
        if size > 1e-9 * largest:  # below are sums that cancel, such as the gradient of a bias before batch norm: noise in float32
            assert np.abs(mine[what] - exact[what]).max() <= max(1e-3 * size, 2 * np.abs(b - exact[what]).max()), what


UNDER_THE_NAME = """
import importlib, pathlib, pkgutil, sys
import tensorgrad
sys.modules["torch"] = tensorgrad
for package in (tensorgrad.nn, tensorgrad.optim, tensorgrad.utils):
    sys.modules[package.__name__.replace("tensorgrad", "torch", 1)] = package
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        sys.modules[found.name.replace("tensorgrad", "torch", 1)] = importlib.import_module(found.name)
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    text = file.read_text().replace("import tensorgrad as torch", "import torch").replace("tensorgrad", "torch")
    names = {}
    exec(compile(text, str(file), "exec"), names)
    for build, shape, out in names["SMALL"].values():
        build()
import torch.nn.functional, torch.utils.data
from torch.nn.modules.utils import _pair
from torch.nn.utils.rnn import pack_padded_sequence
from torch.optim.lr_scheduler import StepLR
assert torch.nn.functional.relu is tensorgrad.nn.functional.relu
"""


def test_files_run_under_pytorchs_name():
    """As people alias it: `sys.modules["torch"] = tensorgrad`, and its submodules."""
    folder = str(Path(__file__).parent / "architectures")
    done = subprocess.run([sys.executable, "-c", UNDER_THE_NAME, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
