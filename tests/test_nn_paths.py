"""Where things are: PyTorch's modules of `torch.nn` have theirs under the same path here."""
from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import tensorgrad as tg
from tensorgrad import nn

torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")

ABSENT = {
    "nn.attention", "nn.backends", "nn.cpp", "nn.grad", "nn.intrinsic", "nn.qat", "nn.quantizable", "nn.quantized",
    "nn.modules.linear_cross_entropy", "nn.modules.linear_cross_entropy_options", "nn.utils.memory_format",
    "nn.utils.prune", "nn.utils.stateless", "nn.parallel.comm", "nn.parallel.distributed", "nn.parallel.parallel_apply",
    "nn.parallel.replicate", "nn.parallel.scatter_gather"}


def names():
    for package in ("nn", "nn.modules", "nn.utils", "nn.parallel"):
        for found in pkgutil.iter_modules(importlib.import_module(f"torch.{package}").__path__):
            if not found.name.startswith("_"):
                yield f"{package}.{found.name}"


@pytest.mark.parametrize("name", sorted(set(names()) - ABSENT))
def test_modules_and_what_they_define(name):
    theirs, ours = importlib.import_module(f"torch.{name}"), importlib.import_module(f"tensorgrad.{name}")
    for found, value in vars(theirs).items():
        public = inspect.isclass(value) and issubclass(value, torch.nn.Module) and value.__module__ == f"torch.{name}"
        if public and not found.startswith("_") and hasattr(nn, found):
            assert getattr(ours, found) is getattr(nn, found), found


def test_what_is_absent_is_refused():
    for name in ABSENT:
        with pytest.raises(ImportError):
            importlib.import_module(f"tensorgrad.{name}")


REACHED = [
    "nn.modules.batchnorm._BatchNorm", "nn.modules.batchnorm._NormBase", "nn.modules.instancenorm._InstanceNorm",
    "nn.modules.conv._ConvNd", "nn.modules.conv._ConvTransposeNd", "nn.modules.loss._Loss", "nn.modules.loss._WeightedLoss",
    "nn.modules.utils._pair", "nn.modules.utils._ntuple", "nn.modules.utils._reverse_repeat_tuple", "nn.common_types._size_2_t",
    "nn.parameter.UninitializedParameter", "nn.init._calculate_fan_in_and_fan_out",
    "nn.modules.utils.consume_prefix_in_state_dict_if_present", "nn.modules.activation.MultiheadAttention",
    "nn.utils.rnn.PackedSequence", "nn.utils.parametrize.ParametrizationList", "nn.modules.lazy.LazyModuleMixin"]


@pytest.mark.parametrize("path", REACHED)
def test_names_that_model_files_reach_for(path):
    module, _, name = path.rpartition(".")
    for package in ("torch", "tensorgrad"):
        assert hasattr(importlib.import_module(f"{package}.{module}"), name)


def test_classes_are_related_as_there():
    for cls in ("BatchNorm2d", "SyncBatchNorm"):
        assert issubclass(getattr(nn, cls), nn.modules.batchnorm._BatchNorm)
    assert issubclass(nn.ConvTranspose2d, nn.modules.conv._ConvNd)
    assert issubclass(nn.LSTM, nn.RNNBase)
    assert issubclass(nn.ReLU6, nn.Hardtanh)


def test_taking_a_prefix_off_the_keys():
    wrapped, plain = nn.DataParallel(nn.BatchNorm1d(3)), nn.BatchNorm1d(3)
    state = wrapped.state_dict()
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == list(plain.state_dict())
    plain.load_state_dict(state)
    assert nn.modules.utils._reverse_repeat_tuple((1, 2), 2) == torch.nn.modules.utils._reverse_repeat_tuple((1, 2), 2)
    assert tg.nn.modules.utils is nn.modules.utils
