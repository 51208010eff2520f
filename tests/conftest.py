"""Programs that tests start import the package under test, whatever folder they start in."""
import os
from pathlib import Path

import building
import driver_stub
import planted
import pytest

import tensorgrad

os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = str(Path(tensorgrad.__file__).parent.parent)


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Compiles the texts of a kernel and its headers, by file name, with the emulator: for bugs planted in copies of kernels."""
    return planted.builder(tmp_path_factory.mktemp("planted"), building.emulator(building.folder_of_all_workers(tmp_path_factory)))


@pytest.fixture(scope="session")
def stub_library(tmp_path_factory):
    """The stub of the CUDA driver, one for the process: the first library of that name is the one that is found."""
    return driver_stub.build(tmp_path_factory.mktemp("driver"))
