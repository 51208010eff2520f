"""What is missing for the device `cuda` is said in one sentence with the way out, in the error and in `tensorgrad doctor`."""
from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys

import cupy_double
import pytest

import tensorgrad as tg
from tensorgrad import backends
from tensorgrad.cuda import driver

GOOD = (13000, 1, None)


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine has: the driver's answer, and wheels of CuPy."""
    def make(driver_says=GOOD, wheels=("cupy-cuda13x",)):
        monkeypatch.setattr(driver, "_driver", lambda: driver_says)
        monkeypatch.setattr(driver, "_installed", lambda name: "14.2.0" if name in wheels else None)
        driver.examine.cache_clear()

    yield make
    monkeypatch.undo()
    driver.examine.cache_clear()


SENTENCES = [
    ({"driver_says": (None, 0, "there is no NVIDIA driver here (libcuda.so.1 is not found): install one, or use the device cpu or emu")},
     "there is no NVIDIA driver here"),
    ({"driver_says": (11080, 1, None)}, r"serves CUDA up to 11.8, but 12.0 is needed: install a newer driver"),
    ({"driver_says": (12040, 1, None)},
     r"cupy-cuda13x needs a driver for CUDA 13, this one serves up to 12.4: install a newer driver, or pip uninstall -y cupy-cuda13x and "
     r"pip install cupy-cuda12x"),
    ({"wheels": ("cupy-cuda12x", "cupy-cuda13x")}, r"2 wheels of CuPy are installed \(cupy-cuda13x, cupy-cuda12x\) and overwrite each "
     r"other: pip uninstall -y cupy-cuda13x cupy-cuda12x, then pip install cupy-cuda13x"),
    ({"wheels": ()}, "CuPy is not installed: pip install cupy-cuda13x"),
    ({"driver_says": (12040, 1, None), "wheels": ()}, "CuPy is not installed: pip install cupy-cuda12x"),
]


@pytest.mark.parametrize(("has", "sentence"), SENTENCES, ids=["no driver", "old driver", "mismatch", "two wheels", "no CuPy", "12.4"])
def test_one_sentence_with_the_way_out(machine, has, sentence, capsys):
    machine(**has)
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    for ask in (lambda: tg.ones(1, device="cuda"), lambda: tg.ones(1).cuda(), tg.cuda.synchronize, tg.cuda.current_device,
                tg.cuda.memory_allocated, tg.cuda.Stream, lambda: tg.ones(1).pin_memory()):
        with pytest.raises((RuntimeError, ImportError), match=rf"^cuda: .*{sentence}") as caught:
            ask()
        assert "\n" not in str(caught.value)
    from tensorgrad.cli import doctor

    said = doctor.examine()["devices"]["cuda"]
    assert said == f"absent: {caught.value}"


def test_every_wheel_that_fits_is_taken(machine):
    for version, wheel in ((13000, "cupy-cuda13x"), (13000, "cupy-cuda12x"), (12000, "cupy-cuda12x"), (12080, "cupy")):
        machine((version, 2, None), (wheel,))
        assert tg.cuda.is_available()
        assert tg.cuda.device_count() == 2


def test_a_cupy_that_does_not_import_is_an_error_of_ours(machine, monkeypatch):
    machine()
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "tensorgrad.backends.cuda", raising=False)
    with pytest.raises(ImportError, match=r"^cuda: CuPy does not import \(.*\): pip uninstall it and install cupy-cuda13x 14.2.0 again"):
        backends.load("cuda")


def test_a_missing_compiler_is_named(monkeypatch):
    def missing():
        raise RuntimeError('Failure finding "libnvrtc.so.13"')

    monkeypatch.setattr(cupy_double.cuda.nvrtc, "getVersion", missing)
    with cupy_double.installed(), pytest.raises(ImportError, match=r"no CUDA compiler .*pip install 'cuda-toolkit\[cudart,nvrtc\]==13"):
        tg.ones(1, device="cuda")


def test_importing_the_package_asks_nothing():
    code = ("import sys, tensorgrad as tg, tensorgrad.cuda; assert 'cupy' not in sys.modules; tg.cuda.is_available(); "
            "tg.kernels.list(); assert tg.cuda.is_available() or 'cupy' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scripts_that_seed_gpus_run_without_one():
    """As in PyTorch: they do so without asking whether there is one."""
    code = "import tensorgrad as tg; tg.cuda.manual_seed(1); tg.cuda.manual_seed_all(1); tg.backends.cudnn.deterministic = True"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_names_of_pytorch_are_there():
    names = ["is_available", "device_count", "current_device", "set_device", "device", "get_device_name", "get_device_capability",
             "synchronize", "Stream", "Event", "stream", "current_stream", "default_stream", "set_stream", "memory_allocated",
             "memory_reserved", "max_memory_allocated", "reset_peak_memory_stats", "empty_cache", "memory_summary", "mem_get_info",
             "graph", "CUDAGraph", "make_graphed", "manual_seed", "manual_seed_all", "seed", "initial_seed", "get_rng_state",
             "get_rng_state_all", "set_rng_state", "OutOfMemoryError", "get_device_properties", "is_initialized", "init", "seed_all",
             "set_rng_state_all", "graph_pool_handle", "is_current_stream_capturing", "is_bf16_supported", "can_device_access_peer"]
    assert [name for name in names if not hasattr(tg.cuda, name)] == []


# ---------------------------------------------------------------- the driver itself, which is a stub here


def answer(library, code="", **settings):
    """What `driver._driver()` says in a process whose libcuda is the stub."""
    sets = "".join(f"lib.stub_set({name.encode()!r}, ctypes.c_long({value}));" for name, value in settings.items())
    program = f"""import ctypes, json
lib = ctypes.CDLL("libcuda.so.1"); {sets} {code}
from tensorgrad.cuda import driver
print(json.dumps(driver._driver()))"""
    env = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler")
@pytest.mark.parametrize(("options", "want"), [
    ({"version": 12080, "devices": 3}, [12080, 3, None]),
    ({"devices": 0}, [13000, 0, "the NVIDIA driver sees no GPU: look at CUDA_VISIBLE_DEVICES"]),
    ({"code": "lib.stub_fail(b'cuInit', ctypes.c_long(1), 100);"}, [13000, 0, "the NVIDIA driver sees no GPU"]),
    ({"code": "lib.stub_fail(b'cuInit', ctypes.c_long(1), 803);"}, [13000, 0, "the NVIDIA driver's library and its kernel module are of "
                                                                    "different versions: restart the machine"]),
    ({"code": "lib.stub_fail(b'cuInit', ctypes.c_long(1), 304);"}, [13000, 0, "the NVIDIA driver may not be used from here"]),
    ({"code": "lib.stub_fail(b'cuInit', ctypes.c_long(1), 999);"}, [13000, 0, "the NVIDIA driver does not start (error 999 of cuInit)"]),
], ids=["three GPUs", "none", "none found", "versions", "permission", "unknown"])
def test_what_the_driver_says(stub_library, options, want):
    version, devices, problem = answer(stub_library, **options)
    assert [version, devices] == want[:2]
    assert problem is None if want[2] is None else problem.startswith(want[2])


def test_where_there_is_no_driver():
    code = "import ctypes\ntry: ctypes.CDLL('libcuda.so.1')\nexcept OSError: print('none')"
    if subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip() != "none":
        pytest.skip("there is a CUDA driver here")
    assert driver._driver()[2].startswith("there is no NVIDIA driver here")


def test_the_wheel_is_found_by_its_name():
    try:
        found = importlib.metadata.version("cupy-cuda13x")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("CuPy is not installed here")
    assert f"cupy-cuda13x {found}" in driver.State(*[None] * 3, cupy=driver.examine().cupy).cupy
